// Requests about one object described by a spec. Batches carry tens of thousands, so each is one small
// object that shares its functions with all others of its kind.

import { NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE } from '../netlink/constants.ts';
import type { NetlinkRequest } from '../netlink/request.ts';
import type { MessageWriter } from '../netlink/writer.ts';

export type Verb = 'add' | 'append' | 'replace' | 'delete';

/** How requests about one kind of object are written and spelled; `dev` is the device's name if it is known. */
export interface RequestKind<Spec> {
  /** RTM_NEW… and RTM_DEL… */
  readonly newType: number;
  readonly deleteType: number;
  write(writer: MessageWriter, spec: Spec, verb: Verb): void;
  /** The object without its verb: `fdb 0a:00:00:00:00:01 dst 10.0.0.2 dev flannel.1`. */
  spell(spec: Spec, verb: Verb, dev: string | undefined): string;
  /** The whole command; `toolVerb` is the verb as ip and bridge spell it. */
  command(spec: Spec, verb: Verb, dev: string | undefined, toolVerb: string): string;
}

export class SpecRequest<Spec> implements NetlinkRequest {
  readonly type: number;
  readonly flags: number;
  private readonly kind: RequestKind<Spec>;
  private readonly verb: Verb;
  private readonly spec: Spec;
  private readonly dev: string | undefined;

  constructor(kind: RequestKind<Spec>, verb: Verb, spec: Spec, dev: string | undefined) {
    this.type = verb === 'delete' ? kind.deleteType : kind.newType;
    this.flags = flagsOf(verb);
    this.kind = kind;
    this.verb = verb;
    this.spec = spec;
    this.dev = dev;
  }

  write(writer: MessageWriter): void {
    this.kind.write(writer, this.spec, this.verb);
  }

  describe(): string {
    return `${this.verb} ${this.kind.spell(this.spec, this.verb, this.dev)}`;
  }

  command(): string {
    const toolVerb = this.verb === 'delete' ? 'del' : this.verb;
    return this.kind.command(this.spec, this.verb, this.dev, toolVerb);
  }
}

function flagsOf(verb: Verb): number {
  switch (verb) {
    case 'add':
      return NLM_F_CREATE | NLM_F_EXCL;
    case 'append':
      return NLM_F_CREATE | NLM_F_APPEND;
    case 'replace':
      return NLM_F_CREATE | NLM_F_REPLACE;
    case 'delete':
      return 0;
  }
}
