// What a bridge keeps about each of its ports: IFLA_BRPORT_ attributes (linux/if_link.h).

import type { AttributeReader } from '../netlink/reader.ts';
import type { MessageWriter } from '../netlink/writer.ts';
import { type Mutable, words } from './spelling.ts';

/** The attributes we set or compare; a kernel sends some thirty more. */
export interface BridgePort {
  /** Frames may leave through the port by which they arrived, as when a pod reaches itself through a Service. */
  readonly hairpin?: boolean;
  /** No traffic between isolated ports. */
  readonly isolated?: boolean;
  readonly learning?: boolean;
  /** BR_STATE_: 0 disabled, 1 listening, 2 learning, 3 forwarding, 4 blocking; only read. */
  readonly state?: number;
}

const IFLA_BRPORT_STATE = 1;
/** IFLA_BRPORT_MODE is hairpin's name in the header. */
const IFLA_BRPORT_MODE = 4;
const IFLA_BRPORT_LEARNING = 8;
const IFLA_BRPORT_ISOLATED = 33;
const DECODED = (1 << IFLA_BRPORT_STATE) | (1 << IFLA_BRPORT_MODE) | (1 << IFLA_BRPORT_LEARNING);
const DECODED_HIGH = 1 << (IFLA_BRPORT_ISOLATED - 32);

export function writeBridgePort(writer: MessageWriter, port: BridgePort): void {
  writer.attrSwitch(IFLA_BRPORT_MODE, port.hairpin);
  writer.attrSwitch(IFLA_BRPORT_LEARNING, port.learning);
  writer.attrSwitch(IFLA_BRPORT_ISOLATED, port.isolated);
}

export function decodeBridgePort(attributes: AttributeReader): BridgePort {
  const port: Mutable<BridgePort> = {};
  while (attributes.nextOf(DECODED, DECODED_HIGH)) {
    if (attributes.type === IFLA_BRPORT_STATE) port.state = attributes.u8();
    else if (attributes.type === IFLA_BRPORT_MODE) port.hairpin = attributes.u8() !== 0;
    else if (attributes.type === IFLA_BRPORT_LEARNING) port.learning = attributes.u8() !== 0;
    else if (attributes.type === IFLA_BRPORT_ISOLATED) port.isolated = attributes.u8() !== 0;
  }
  return port;
}

/** In the syntax of bridge(8) and ip(8) after `bridge_slave`: `hairpin on isolated off`. */
export function spellBridgePort(port: BridgePort): string {
  return words(spell('hairpin', port.hairpin), spell('learning', port.learning), spell('isolated', port.isolated));
}

function spell(word: string, value: boolean | undefined): string {
  return value === undefined ? '' : `${word} ${value ? 'on' : 'off'}`;
}
