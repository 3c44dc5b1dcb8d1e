import { expect, test } from 'vitest';
import { fromHex } from '../../test/support/netlink-bytes.ts';
import { decodeAck } from './ack.ts';
import { NLM_F_ACK_TLVS, NLM_F_CAPPED, NLMSG_DONE, NLMSG_ERROR } from './constants.ts';
import { MessageReader } from './reader.ts';

const EEXIST = 'efffffff';
/** The request's header: 24 bytes long, so an error that is not capped repeats 8 bytes of payload. */
const REQUEST = '18000000 1000 0506 01000000 00000000';
const ECHOED = '1122334455667788';
/** NLMSGERR_ATTR_MSG "No" and NLMSGERR_ATTR_OFFS 20. */
const WORDS = '07000100 4e6f0000 08000200 14000000';

function message(type: number, flags: number, payload: string): MessageReader {
  const body = fromHex(payload);
  const bytes = new Uint8Array(16 + body.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, bytes.length, true);
  view.setUint16(4, type, true);
  view.setUint16(6, flags, true);
  bytes.set(body, 16);
  const reader = new MessageReader(bytes);
  reader.next();
  return reader;
}

test.for([
  { name: 'success', type: NLMSG_ERROR, flags: NLM_F_CAPPED, payload: `00000000${REQUEST}`, want: { errno: 0 } },
  { name: 'a refusal', type: NLMSG_ERROR, flags: NLM_F_CAPPED, payload: EEXIST + REQUEST, want: { errno: 17 } },
  {
    name: 'a refusal with words',
    type: NLMSG_ERROR,
    flags: NLM_F_CAPPED | NLM_F_ACK_TLVS,
    payload: EEXIST + REQUEST + WORDS,
    want: { errno: 17, text: 'No' },
  },
  {
    name: 'words behind the repeated request',
    type: NLMSG_ERROR,
    flags: NLM_F_ACK_TLVS,
    payload: EEXIST + REQUEST + ECHOED + WORDS,
    want: { errno: 17, text: 'No' },
  },
  {
    name: 'a refusal that names the attribute it misses',
    type: NLMSG_ERROR,
    flags: NLM_F_CAPPED | NLM_F_ACK_TLVS,
    payload: `${EEXIST}${REQUEST}08000500 03000000`,
    want: { errno: 17, text: 'attribute 3 is missing' },
  },
  {
    name: 'a success with a warning',
    type: NLMSG_ERROR,
    flags: NLM_F_CAPPED | NLM_F_ACK_TLVS,
    payload: `00000000${REQUEST}${WORDS}`,
    want: { errno: 0 },
  },
  { name: 'the end of a dump', type: NLMSG_DONE, flags: 2, payload: '00000000', want: { errno: 0 } },
  { name: 'the end of an old dump', type: NLMSG_DONE, flags: 2, payload: '', want: { errno: 0 } },
  { name: 'a dump that failed', type: NLMSG_DONE, flags: 2, payload: 'eaffffff', want: { errno: 22 } },
  {
    name: 'a dump that failed with words',
    type: NLMSG_DONE,
    flags: 2 | NLM_F_ACK_TLVS,
    payload: `eaffffff${WORDS}`,
    want: { errno: 22, text: 'No' },
  },
])('$name', ({ type, flags, payload, want }) => {
  expect(decodeAck(message(type, flags, payload))).toEqual(want);
});

test.for([
  { name: 'an error without the header it answers', flags: 0, payload: EEXIST },
  { name: 'a repeated request longer than the message', flags: NLM_F_ACK_TLVS, payload: EEXIST + REQUEST },
])('refuses $name', ({ flags, payload }) => {
  expect(() => decodeAck(message(NLMSG_ERROR, flags, payload))).toThrow('it needs');
});
