import { describe, expect, test } from 'vitest';
import { type Facts, judge, NOT_CACHED } from './verdict.ts';

const alive: Facts = {
  owner: 'c1\r\neth0',
  netns: { kind: 'there', path: '/run/netns/cni-1' },
  isOfEarlierBoot: false,
};
const gone = { kind: 'gone', path: '/run/netns/cni-1' } as const;
const unseen = { kind: 'unknown', why: 'not visible from here' } as const;

describe('judge', () => {
  test.for<{ name: string; facts: Partial<Facts>; isDead: boolean; why: string }>([
    { name: 'whose netns is there', facts: {}, isDead: false, why: 'its netns /run/netns/cni-1 is there' },
    { name: 'whose netns is gone', facts: { netns: gone }, isDead: true, why: 'its netns /run/netns/cni-1 is gone' },
    { name: 'nothing is known of', facts: { netns: NOT_CACHED }, isDead: false, why: NOT_CACHED.why },
    { name: 'that cannot be looked at', facts: { netns: unseen }, isDead: false, why: 'not visible from here' },
    {
      name: 'of an earlier boot of which nothing is known',
      facts: { netns: NOT_CACHED, isOfEarlierBoot: true },
      isDead: true,
      why: 'it is of an earlier boot',
    },
    {
      name: 'of an earlier boot that has a named netns now',
      facts: { isOfEarlierBoot: true },
      isDead: false,
      why: 'its netns /run/netns/cni-1 is there',
    },
    {
      name: 'of an earlier boot whose process number somebody has now',
      facts: { netns: { kind: 'there', path: '/proc/7/ns/net' }, isOfEarlierBoot: true },
      isDead: true,
      why: 'it is of an earlier boot',
    },
    {
      name: 'that names nobody',
      facts: { owner: '', netns: NOT_CACHED },
      isDead: true,
      why: 'it names nobody: its ADD was killed',
    },
  ])('a holder $name', ({ facts, isDead, why }) => {
    expect(judge({ ...alive, ...facts }, () => undefined)).toEqual({ isDead, why });
  });

  test('is overruled by what the bridge shows, and says both', () => {
    expect(judge({ ...alive, netns: gone }, () => 'port veth1 is on cni0')).toEqual({
      isDead: false,
      why: 'its netns /run/netns/cni-1 is gone, but port veth1 is on cni0',
    });
  });

  test('does not look at the bridge for what is kept anyway', () => {
    const look = (): string => {
      throw new Error('looked');
    };
    expect(judge(alive, look).isDead).toBe(false);
  });
});
