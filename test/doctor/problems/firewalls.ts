// What firewalls of others do.

import type { Problem } from './problem.ts';

export const FIREWALLS_PROBLEMS: readonly Problem[] = [
  {
    id: 'firewall-drops-tunnel',
    how: 'input of nftables',
    agent: 'runs',
    make: 'nft "table inet strict { chain input { type filter hook input priority 0; udp dport 8472 drop; }; }"',
    end: 'fix',
    after: 'nft delete table inet strict',
    says: ['chain inet strict input', 'udp dport 8472'],
  },
  {
    id: 'firewall-drops-tunnel',
    how: 'a policy of iptables on nftables',
    agent: 'runs',
    make: 'iptables-nft -A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT && iptables-nft -P INPUT DROP',
    end: 'fix',
    after: 'iptables-nft -P INPUT ACCEPT; iptables-nft -F INPUT',
    says: ['chain ip filter INPUT', '-I INPUT -p udp --dport 8472 -j ACCEPT'],
  },
  {
    id: 'firewall-drops-tunnel',
    how: 'raw',
    agent: 'runs',
    make: 'nft "table ip early { chain pre { type filter hook prerouting priority -300; udp dport 8472 drop; }; }"',
    end: 'fix',
    after: 'nft delete table ip early',
    says: ['chain ip early pre'],
  },
  {
    id: 'firewall-drops-tunnel',
    how: 'output',
    agent: 'runs',
    make: 'nft "table inet strict { chain output { type filter hook output priority 0; udp dport 8472 drop; }; }"',
    end: 'fix',
    after: 'nft delete table inet strict',
    says: ['EPERM', 'chain inet strict output'],
  },
  {
    id: 'firewall-refuses-pods',
    how: 'a policy of nftables',
    agent: 'runs',
    make: 'nft "table inet strict { chain forward { type filter hook forward priority 10; policy drop; }; }"',
    end: 'fix',
    after: 'nft delete table inet strict',
    says: ['chain inet strict forward', 'nft insert rule inet strict forward'],
  },
  {
    id: 'firewall-refuses-pods',
    how: 'while the agent is stopped',
    agent: 'is stopped',
    make: 'nft "table inet strict { chain forward { type filter hook forward priority 10; policy drop; }; }"',
    end: 'fix',
    after: 'nft delete table inet strict',
    says: ['chain inet strict forward'],
  },
  {
    id: 'firewall-refuses-pods',
    how: 'iptables on nftables',
    agent: 'runs',
    make: 'iptables-nft -t mangle -A FORWARD -j DROP',
    end: 'fix',
    after: 'iptables-nft -t mangle -F FORWARD',
    says: ['chain ip mangle FORWARD', 'iptables -t mangle -I FORWARD'],
  },
];
