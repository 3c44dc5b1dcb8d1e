import { describe, expect, test } from 'vitest';
import { formatPrefix, parsePrefix } from '../../lib/ip.ts';
import { RTN_BLACKHOLE } from '../../lib/rtnetlink/rtnetlink-constants.ts';
import { wantedDeadEnds } from './dead-ends.ts';

const network = parsePrefix('10.244.0.0/16');
const subnet = parsePrefix('10.244.1.0/24');
const both = { blackholeRoute: true, unreachableRoute: true };

describe('wantedDeadEnds', () => {
  test.for([
    { name: 'both', flags: both, want: ['blackhole 10.244.1.0/24', 'unreachable 10.244.0.0/16'] },
    { name: 'one flag', flags: { ...both, blackholeRoute: false }, want: ['unreachable 10.244.0.0/16'] },
    { name: 'the other', flags: { ...both, unreachableRoute: false }, want: ['blackhole 10.244.1.0/24'] },
    { name: 'without a tunnel', flags: both, hasTunnel: false, want: ['blackhole 10.244.1.0/24'] },
    { name: 'the node needs an address of it', flags: both, open: [network], want: ['blackhole 10.244.1.0/24'] },
    {
      name: 'it needs one of the other network',
      flags: both,
      open: [parsePrefix('fd00::/48')],
      want: ['blackhole 10.244.1.0/24', 'unreachable 10.244.0.0/16'],
    },
  ])('$name', ({ flags, hasTunnel = true, open = [], want }) => {
    const wanted = wantedDeadEnds([{ network, subnet, hasTunnel }], flags, open);
    expect(
      wanted.map(({ type, destination }) => {
        return `${type === RTN_BLACKHOLE ? 'blackhole' : 'unreachable'} ${formatPrefix(destination)}`;
      }),
    ).toEqual(want);
  });
});
