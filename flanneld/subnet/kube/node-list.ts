// Reads a NodeList while it arrives. In protobuf only the fields that readNode needs are decoded, one Node at a time. In JSON
// each Node has ten kilobytes of images and conditions, which would be parsed only to be thrown away.
// Field numbers: k8s.io/apimachinery/pkg/{runtime,apis/meta/v1}/generated.proto, k8s.io/api/core/v1/generated.proto.

import { HttpError } from '../http.ts';
import { asObject, asText } from './node.ts';
import { eachField, FieldReader, ProtoError, readNumber } from './proto.ts';

export const protobufType = 'application/vnd.kubernetes.protobuf';

/** Every object begins with these bytes, followed by a `runtime.Unknown`. */
const MAGIC = Buffer.from('k8s\0');
const UNKNOWN_RAW = 2;
const LIST_METADATA = 1;
const LIST_ITEMS = 2;
const LIST_META_RESOURCE_VERSION = 2;
const LIST_META_CONTINUE = 3;
const NODE_METADATA = 1;
const NODE_SPEC = 2;
const NODE_STATUS = 3;
const STATUS_ADDRESSES = 5;
const ADDRESS_TYPE = 1;
const ADDRESS_ADDRESS = 2;
const META_NAME = 1;
const META_UID = 5;
const META_RESOURCE_VERSION = 6;
const META_CREATION_TIMESTAMP = 8;
const META_ANNOTATIONS = 12;
const PAIR_KEY = 1;
const PAIR_VALUE = 2;
const TIME_SECONDS = 1;
const SPEC_POD_CIDR = 1;
const SPEC_POD_CIDRS = 7;

/** etcd keeps no object larger than 1.5 MB. */
const MAX_ITEM_BYTES = 4 * 1024 * 1024;

/** The fields of a Node that are read, in the shape of its JSON. */
interface NodeObject {
  readonly metadata: Record<string, unknown> & { readonly annotations: Record<string, string> };
  readonly spec: { podCIDR?: string; readonly podCIDRs: string[] };
  readonly status: { readonly addresses: { readonly type: string; readonly address: string }[] };
}

/** Called with each Node in the shape of its JSON, with at least the fields that readNode needs. */
export type OnNode = (node: unknown) => void;

/** The metadata of the list. */
export interface ListEnd {
  readonly resourceVersion: string;
  /** The token for the following page; empty on the last one. */
  readonly next: string;
}

export class NodeListReader {
  readonly #onNode: OnNode;
  readonly #field = new FieldReader();
  #rest: Buffer = Buffer.alloc(0);
  /** Whether the list itself has begun, after the fields of its envelope. */
  #isInside = false;
  #isFirst = true;
  /** How many bytes of the list are still to come. Without it a list cut off between two Nodes would look complete. */
  #left = 0;
  #end: ListEnd = { resourceVersion: '', next: '' };

  constructor(onNode: OnNode) {
    this.#onNode = onNode;
  }

  /** Takes the next bytes. Throws ProtoError. */
  push(chunk: Buffer): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = this.#skipMagic(bytes);
    for (let after: number | undefined = at; after !== undefined; ) {
      at = after;
      after = this.#take(bytes, at);
    }
    this.#rest = bytes.subarray(at);
    if (this.#rest.length > MAX_ITEM_BYTES) throw new ProtoError(`has an item of more than ${MAX_ITEM_BYTES} bytes`);
  }

  /** Throws ProtoError when something is missing. */
  end(): ListEnd {
    if (this.#rest.length > 0 || !this.#isInside || this.#left > 0)
      throw new ProtoError('ends in the middle of the list');
    return this.#end;
  }

  #skipMagic(bytes: Buffer): number {
    if (!this.#isFirst || bytes.length < MAGIC.length) return 0;
    if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) throw new ProtoError('is no Kubernetes object');
    this.#isFirst = false;
    return MAGIC.length;
  }

  /** Where the next field begins; undefined when the one at `at` is not all there. */
  #take(bytes: Buffer, at: number): number | undefined {
    if (this.#isFirst || at >= bytes.length) return undefined;
    const field = this.#field;
    if (!field.read(bytes, at, bytes.length)) return undefined;
    if (!this.#isInside && field.number === UNKNOWN_RAW) {
      // Go on inside this field. The two fields of the envelope that follow are texts, whose field numbers a list does not use.
      this.#isInside = true;
      this.#left = field.to - field.from;
      return field.from;
    }
    if (field.to > bytes.length) return undefined;
    this.#left -= field.to - at;
    if (this.#isInside && field.number === LIST_METADATA) this.#end = readListMeta(bytes, field.from, field.to);
    if (this.#isInside && field.number === LIST_ITEMS) this.#onNode(decodeNode(bytes, field.from, field.to));
    return field.to;
  }
}

function readListMeta(bytes: Buffer, from: number, to: number): ListEnd {
  let end: ListEnd = { resourceVersion: '', next: '' };
  eachField(bytes, from, to, (field, start, stop) => {
    const text = (): string => bytes.toString('utf8', start, stop);
    if (field === LIST_META_RESOURCE_VERSION) end = { ...end, resourceVersion: text() };
    if (field === LIST_META_CONTINUE) end = { ...end, next: text() };
  });
  return end;
}

function decodeNode(bytes: Buffer, from: number, to: number): NodeObject {
  // Without a prototype `__proto__` is an ordinary key, as with JSON.parse.
  const annotations: Record<string, string> = Object.create(null);
  const node: NodeObject = { metadata: { annotations }, spec: { podCIDRs: [] }, status: { addresses: [] } };
  eachField(bytes, from, to, (field, start, end) => {
    if (field === NODE_METADATA) readMetadata(node, bytes, start, end);
    if (field === NODE_SPEC) readSpec(node, bytes, start, end);
    if (field === NODE_STATUS) readStatus(node, bytes, start, end);
  });
  return node;
}

const metadataNames: Readonly<Record<number, string>> = {
  [META_NAME]: 'name',
  [META_UID]: 'uid',
  [META_RESOURCE_VERSION]: 'resourceVersion',
};

function readMetadata({ metadata }: NodeObject, bytes: Buffer, from: number, to: number): void {
  eachField(bytes, from, to, (field, start, end) => {
    const name = metadataNames[field];
    if (name !== undefined) metadata[name] = bytes.toString('utf8', start, end);
    else if (field === META_CREATION_TIMESTAMP) metadata['creationTimestamp'] = readTime(bytes, start, end);
    else if (field === META_ANNOTATIONS) readAnnotation(metadata.annotations, bytes, start, end);
  });
}

/** The time as in JSON: in whole seconds, and empty when it is not set. */
function readTime(bytes: Buffer, from: number, to: number): string {
  const seconds = readNumber(bytes, from, to, TIME_SECONDS);
  return seconds === undefined ? '' : new Date(seconds * 1000).toISOString().replace('.000Z', 'Z');
}

/** Reads one annotation; protobuf encodes a map as a list of pairs. */
function readAnnotation(annotations: Record<string, string>, bytes: Buffer, from: number, to: number): void {
  let key = '';
  let value = '';
  eachField(bytes, from, to, (field, start, end) => {
    if (field === PAIR_KEY) key = bytes.toString('utf8', start, end);
    if (field === PAIR_VALUE) value = bytes.toString('utf8', start, end);
  });
  annotations[key] = value;
}

function readSpec({ spec }: NodeObject, bytes: Buffer, from: number, to: number): void {
  eachField(bytes, from, to, (field, start, end) => {
    if (field === SPEC_POD_CIDR) spec.podCIDR = bytes.toString('utf8', start, end);
    if (field === SPEC_POD_CIDRS) spec.podCIDRs.push(bytes.toString('utf8', start, end));
  });
}

function readStatus({ status }: NodeObject, bytes: Buffer, from: number, to: number): void {
  eachField(bytes, from, to, (field, start, end) => {
    if (field !== STATUS_ADDRESSES) return;
    let type = '';
    let address = '';
    eachField(bytes, start, end, (part, begin, stop) => {
      if (part === ADDRESS_TYPE) type = bytes.toString('utf8', begin, stop);
      if (part === ADDRESS_ADDRESS) address = bytes.toString('utf8', begin, stop);
    });
    status.addresses.push({ type, address });
  });
}

/** A page of 500 Nodes of a busy cluster has 10 MB; an endless answer must not fill memory. */
const MAX_JSON_BYTES = 64 * 1024 * 1024;

/** Reads a list in JSON, from a server without protobuf. */
export class JsonListReader {
  readonly #onNode: OnNode;
  readonly #chunks: Buffer[] = [];
  #length = 0;

  constructor(onNode: OnNode) {
    this.#onNode = onNode;
  }

  /** Throws HttpError. */
  push(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#length += chunk.length;
    if (this.#length > MAX_JSON_BYTES)
      throw new HttpError('too large', `answer is larger than ${MAX_JSON_BYTES} bytes`);
  }

  /** Throws SyntaxError. */
  end(): ListEnd {
    const list = asObject(JSON.parse(Buffer.concat(this.#chunks).toString('utf8')));
    const items = list?.['items'];
    for (const item of Array.isArray(items) ? items : []) this.#onNode(item);
    const metadata = asObject(list?.['metadata']);
    return { resourceVersion: asText(metadata?.['resourceVersion']), next: asText(metadata?.['continue']) };
  }
}
