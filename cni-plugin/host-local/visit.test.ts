import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { addToIp, formatIp, type Ip, parseIp } from '../../lib/ip.ts';
import { visitAddresses } from './allocate.ts';
import { inRange, type Range, type RangeSet } from './ranges.ts';

/** Ranges of a few addresses each, in different networks, with the gateway inside or outside. */
const sets: fc.Arbitrary<RangeSet> = fc
  .array(fc.record({ size: fc.integer({ min: 1, max: 6 }), gateway: fc.integer({ min: 0, max: 8 }) }), {
    minLength: 1,
    maxLength: 4,
  })
  .map((ranges) =>
    ranges.map(({ size, gateway }, at): Range => {
      const ip = parseIp(`10.0.${at}.0`);
      return { subnet: { ip, length: 24 }, start: ip, end: addToIp(ip, size - 1), gateway: addToIp(ip, gateway) };
    }),
  );

function all(set: RangeSet): Ip[] {
  return set.flatMap((range) => {
    const ips: Ip[] = [];
    for (let ip = range.start; inRange(range, ip); ip = addToIp(ip, 1)) ips.push(ip);
    return ips;
  });
}

function gatewaysOf(set: RangeSet): string[] {
  return set.map((range) => formatIp(range.gateway));
}

function visited(set: RangeSet, last: Ip | undefined): string[] {
  const seen: string[] = [];
  visitAddresses(set, last, (ip) => {
    seen.push(formatIp(ip));
    return false;
  });
  return seen;
}

describe('visitAddresses', () => {
  test('visits every address except the gateways once, whatever address was allocated last', () => {
    fc.assert(
      fc.property(sets, fc.nat(), fc.boolean(), (set, pick, knowsLast) => {
        const ips = all(set);
        const last = knowsLast ? ips[pick % ips.length] : undefined;
        const wanted = ips.map(formatIp).filter((ip) => !gatewaysOf(set).includes(ip));
        expect(visited(set, last).sort()).toEqual(wanted.sort());
      }),
    );
  });

  test('begins after the last allocated address and visits that one last', () => {
    fc.assert(
      fc.property(sets, fc.nat(), (set, pick) => {
        const ips = all(set).filter((ip) => !gatewaysOf(set).includes(formatIp(ip)));
        fc.pre(ips.length > 0);
        const at = pick % ips.length;
        const order = [...ips.slice(at + 1), ...ips.slice(0, at + 1)].map(formatIp);
        expect(visited(set, ips[at])).toEqual(order);
      }),
    );
  });

  test('stops at an address outside of the wanted ones, and names its range', () => {
    fc.assert(
      fc.property(sets, fc.nat(), (set, pick) => {
        const offered = visited(set, undefined);
        fc.pre(offered.length > 0);
        const wanted = offered[pick % offered.length] ?? '';
        const taken = visitAddresses(set, undefined, (ip) => formatIp(ip) === wanted);
        expect(taken === undefined ? '' : formatIp(taken.ip)).toBe(wanted);
        expect(taken !== undefined && inRange(taken.range, taken.ip)).toBe(true);
      }),
    );
  });
});
