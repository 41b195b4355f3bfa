// Which follower opens when: each final close of a parent puts a token on its edge to the child, and a child's decision uses up
// a token of every edge. Tokens are durable and every decision is made of them alone, in the order in which they came: after a
// restart the same tokens, added in the same order, come to the same decisions.
//
// Nothing here commits. A decision stands until `use` says that it is durable; whatever has become void (its child disabled or
// dropped, its edge gone) is answered as token ids for the caller to delete.

import type { Instant } from '../core/instant.ts';
import { nameKey } from '../core/name.ts';
import type { Token } from './ports.ts';
import type { AfterState, Definition } from './schedule.ts';

/** What has become possible for a child. */
export interface Joined {
  readonly childId: number;
  /** All that it takes away, superseded ones included. */
  readonly usedTokenIds: readonly string[];
  /** One skipped row for all of them. */
  readonly superseded: Superseded | undefined;
  /** undefined: nothing is decided, the oldest tokens only gave way to newer ones. */
  readonly decision: FollowDecision | undefined;
}

type FollowDecision = ({ readonly kind: 'open' } & Origin) | ({ readonly kind: 'skip'; readonly reason: string } & Origin);

interface Superseded extends Origin {
  /** The oldest; `scheduledAt` is the newest. */
  readonly firstScheduledAt: Instant;
  /** How many nominal instants. */
  readonly fires: number;
  readonly reason: string;
}

/** What the child's row says it is for, and whose run it comes from. */
interface Origin {
  readonly scheduledAt: Instant;
  readonly parentRunId: string;
  readonly rootRunId: string;
}

interface Circle {
  readonly childId: number;
  readonly reason: string;
}

/** How many tokens may wait on one edge while another has none, and how many stay when it were more. */
const mostWaiting = 1000;
const stay = 500;

/** So many changed schedules are followed one by one back to where they wait; more, and all are looked at once. */
const fewChanges = 20;

interface Edge {
  /** As the parent's name is compared. */
  readonly parentKey: string;
  /** As the child writes it. */
  readonly parentName: string;
  /** By nominal time, then as they came. */
  readonly tokens: Token[];
}

interface Child {
  readonly scheduleId: number;
  name: string;
  enabled: boolean;
  afterState: AfterState;
  /** By the parent's key, in the order of `after`. */
  edges: ReadonlyMap<string, Edge>;
  /** Decisions that are not durable yet, the first one first. */
  readonly decided: Joined[];
  /** The same for all that wait for each other in a circle; undefined outside of circles. */
  circle: number | undefined;
}

export class Followers {
  readonly #children = new Map<number, Child>();
  /** By the parent's key, whether or not there is a schedule of that name. */
  readonly #followers = new Map<string, Set<Child>>();
  readonly #ids = new Map<string, number>();
  readonly #keys = new Map<number, string>();
  /** Of the schedules that are there, the oldest first: read when the first follower comes, because most files have none and a
   * million names in two maps take 100 MB. undefined: they are in the maps. */
  #names: (() => Iterable<readonly [scheduleId: number, name: string]>) | undefined;
  /** All for whom something waits, and some for whom nothing does any more. */
  readonly #awaited = new Set<Child>();
  /** Whose edges have changed: circles are looked for when somebody asks, because a start defines a million schedules one by one. */
  readonly #unsurveyed = new Set<number>();
  #hasCircles = false;

  /** Without `names` all are told by `define`. */
  constructor(names?: () => Iterable<readonly [scheduleId: number, name: string]>) {
    this.#names = names;
  }

  /** A new or changed schedule. Parents are known by name, and may be defined later. Answers the tokens that have become void. */
  define(definition: Definition): readonly string[] {
    const { scheduleId, policy } = definition;
    if (this.#names !== undefined) {
      if (policy.after.length === 0) return [];
      const names = this.#names();
      this.#names = undefined;
      for (const [id, name] of names) this.#name(id, nameKey(name));
    }
    const gone = this.#name(scheduleId, nameKey(definition.name));
    const before = this.#children.get(scheduleId);
    if (policy.after.length === 0) return before === undefined ? gone : [...gone, ...this.#unfollow(before)];
    const child = before ?? newChild(scheduleId);
    child.name = definition.name;
    child.enabled = definition.enabled;
    child.afterState = policy.afterState;
    gone.push(...this.#rewire(child, policy.after));
    if (!child.enabled) gone.push(...voided(child));
    this.#children.set(scheduleId, child);
    return gone;
  }

  /** Answers the tokens that have become void. */
  drop(scheduleId: number): readonly string[] {
    const gone = this.#unname(scheduleId);
    const child = this.#children.get(scheduleId);
    return child === undefined ? gone : [...gone, ...this.#unfollow(child)];
  }

  /** To whom a close of `parentId` gives tokens. Nobody is opened round in a circle, and nobody who is disabled. */
  childrenOf(parentId: number): readonly number[] {
    const key = this.#keys.get(parentId);
    const followers = key === undefined ? undefined : this.#followers.get(key);
    if (followers === undefined) return [];
    this.#survey();
    const children: number[] = [];
    for (const child of followers) {
      if (child.enabled && !this.#isRound(child, parentId)) children.push(child.scheduleId);
    }
    return children;
  }

  /** After its commit, and at a start in the order in which they were committed. false: it belongs to no edge any more. */
  add(token: Token): boolean {
    const child = this.#children.get(token.childId);
    const edge = child?.edges.get(this.#keys.get(token.parentId) ?? '');
    if (child === undefined || edge === undefined || !child.enabled) return false;
    this.#survey();
    if (this.#isRound(child, token.parentId)) return false;
    const { tokens } = edge;
    let at = tokens.length;
    while (at > 0 && (tokens[at - 1]?.scheduledAt ?? 0) > token.scheduledAt) at -= 1;
    if (at === tokens.length) tokens.push(token);
    else tokens.splice(at, 0, token);
    this.#awaited.add(child);
    this.#decide(child);
    return true;
  }

  /** The first decision that is possible now. It stands, the same object, until it is used. */
  joined(childId: number): Joined | undefined {
    const child = this.#children.get(childId);
    if (child === undefined) return undefined;
    this.#decide(child);
    return child.decided[0];
  }

  /** After its commit. */
  use(joined: Joined): void {
    const decided = this.#children.get(joined.childId)?.decided ?? [];
    const at = decided.indexOf(joined);
    if (at === 0) decided.shift();
    else if (at > 0) decided.splice(at, 1);
  }

  /** All for whom a decision is possible: to be asked after a start, and after definitions have changed. */
  ready(): readonly number[] {
    const ready: number[] = [];
    for (const child of this.#awaited) {
      if (this.joined(child.scheduleId) !== undefined) ready.push(child.scheduleId);
      else if ([...child.edges.values()].every((edge) => edge.tokens.length === 0)) this.#awaited.delete(child);
    }
    return ready;
  }

  /** Who never opens, because two sessions have made a circle that each of them alone would not have been allowed to make. */
  circles(): readonly Circle[] {
    this.#survey();
    return [...this.#children.values()]
      .filter((child) => child.circle !== undefined)
      .map((child) => ({ childId: child.scheduleId, reason: this.#circleReason(child) }));
  }

  #decide(child: Child): void {
    this.#survey();
    for (;;) {
      const joined = child.circle === undefined ? join(child) : refuse(child, () => this.#circleReason(child));
      if (joined === undefined) return;
      child.decided.push(joined);
    }
  }

  #name(scheduleId: number, key: string): string[] {
    const before = this.#keys.get(scheduleId);
    if (before === key) return [];
    const gone = before === undefined ? [] : this.#unname(scheduleId);
    // A schedule that is created anew under a name is a new one: what came from the old one does not count for it.
    const other = this.#ids.get(key);
    if (other !== undefined) gone.push(...this.#unname(other));
    this.#ids.set(key, scheduleId);
    this.#keys.set(scheduleId, key);
    if (this.#followers.has(key)) this.#unsurveyed.add(scheduleId);
    return gone;
  }

  #unname(scheduleId: number): string[] {
    const key = this.#keys.get(scheduleId);
    if (key === undefined) return [];
    this.#keys.delete(scheduleId);
    this.#ids.delete(key);
    const followers = this.#followers.get(key);
    if (followers === undefined) return [];
    this.#unsurveyed.add(scheduleId);
    return [...followers].flatMap((child) => idsOf(child.edges.get(key)?.tokens.splice(0) ?? []));
  }

  /** Edges that stay keep their tokens, and decisions stay decided: they were made while the old definition held. */
  #rewire(child: Child, parents: readonly string[]): string[] {
    const edges = new Map<string, Edge>();
    for (const parentName of parents) {
      const parentKey = nameKey(parentName);
      if (edges.has(parentKey)) continue;
      edges.set(parentKey, { parentKey, parentName, tokens: child.edges.get(parentKey)?.tokens ?? [] });
    }
    const gone: string[] = [];
    for (const [key, edge] of child.edges) {
      if (edges.has(key)) continue;
      gone.push(...idsOf(edge.tokens));
      this.#unlink(child, key);
    }
    for (const key of edges.keys()) {
      if (child.edges.has(key)) continue;
      const followers = this.#followers.get(key) ?? new Set();
      this.#followers.set(key, followers.add(child));
      this.#unsurveyed.add(child.scheduleId);
    }
    child.edges = edges;
    return gone;
  }

  #unfollow(child: Child): string[] {
    const gone = voided(child);
    for (const key of child.edges.keys()) this.#unlink(child, key);
    this.#children.delete(child.scheduleId);
    this.#awaited.delete(child);
    return gone;
  }

  #unlink(child: Child, key: string): void {
    const followers = this.#followers.get(key);
    followers?.delete(child);
    if (followers?.size === 0) this.#followers.delete(key);
    this.#unsurveyed.add(child.scheduleId);
  }

  /** Whether the edge is a piece of a circle. */
  #isRound(child: Child, parentId: number): boolean {
    return child.circle !== undefined && this.#children.get(parentId)?.circle === child.circle;
  }

  #parentsOf(child: Child): Child[] {
    const parents: Child[] = [];
    for (const key of child.edges.keys()) {
      const parent = this.#children.get(this.#ids.get(key) ?? -1);
      if (parent !== undefined) parents.push(parent);
    }
    return parents;
  }

  #survey(): void {
    if (this.#unsurveyed.size === 0) return;
    const changed = [...this.#unsurveyed];
    this.#unsurveyed.clear();
    const isSmall = !this.#hasCircles && changed.length <= fewChanges;
    if (isSmall && changed.every((scheduleId) => this.#wayBack(scheduleId) === undefined)) return;
    this.#surveyAll();
  }

  /** Finds who waits for whom in circles: Tarjan's strongly connected components, without recursion, because chains are long. */
  #surveyAll(): void {
    this.#hasCircles = false;
    const seen = new Map<Child, Visit>();
    const open: Visit[] = [];
    const visit = (child: Child): Visit => {
      child.circle = undefined;
      const begun = { child, order: seen.size, lowest: seen.size, isOpen: true, parents: this.#parentsOf(child), next: 0 };
      seen.set(child, begun);
      open.push(begun);
      return begun;
    };
    for (const start of this.#children.values()) {
      const way = seen.has(start) ? [] : [visit(start)];
      for (let here = way.at(-1); here !== undefined; here = way.at(-1)) {
        const parent = here.parents[here.next++];
        if (parent !== undefined) {
          const known = seen.get(parent);
          if (known === undefined) way.push(visit(parent));
          else if (known.isOpen) here.lowest = Math.min(here.lowest, known.order);
          continue;
        }
        way.pop();
        const below = way.at(-1);
        if (below !== undefined) below.lowest = Math.min(below.lowest, here.lowest);
        if (here.lowest === here.order && closeComponent(here, open)) this.#hasCircles = true;
      }
    }
  }

  #circleReason(child: Child): string {
    const way = this.#wayBack(child.scheduleId) ?? [child.name];
    return `after: ${way.join(' -> ')} is a circle, in which each waits for the next`;
  }

  /** The shortest way from a schedule back to itself, through those for whom it waits. */
  #wayBack(scheduleId: number): readonly string[] | undefined {
    const start = this.#children.get(scheduleId);
    if (start === undefined) return undefined;
    const cameFrom = new Map<Child, Child>();
    const queue = [start];
    for (const here of queue) {
      for (const parent of this.#parentsOf(here)) {
        if (parent === start) {
          const way = [start.name];
          for (let at: Child | undefined = here; at !== undefined; at = cameFrom.get(at)) way.unshift(at.name);
          return way;
        }
        if (parent.circle !== start.circle || cameFrom.has(parent)) continue;
        cameFrom.set(parent, here);
        queue.push(parent);
      }
    }
    return undefined;
  }
}

interface Visit {
  readonly child: Child;
  readonly order: number;
  lowest: number;
  isOpen: boolean;
  readonly parents: readonly Child[];
  next: number;
}

/** Those that were met since `first` wait for each other. One alone does so only when it follows itself. */
function closeComponent(first: Visit, open: Visit[]): boolean {
  const members = open.splice(open.lastIndexOf(first));
  const isCircle = members.length > 1 || first.parents.includes(first.child);
  for (const member of members) {
    member.isOpen = false;
    if (isCircle) member.child.circle = first.child.scheduleId;
  }
  return isCircle;
}

/** Takes away the tokens of the next decision, if there is one. */
function join(child: Child): Joined | undefined {
  const edges = [...child.edges.values()];
  if (edges.some((edge) => edge.tokens.length === 0)) return giveWay(child, edges);
  const common = newestCommon(edges);
  const used: Token[] = [];
  const usedTokenIds: string[] = [];
  const older: Token[] = [];
  const runAgain: string[] = [];
  for (const { parentName, tokens } of edges) {
    const at = common === undefined ? tokens.length - 1 : tokens.findLastIndex((token) => token.scheduledAt === common);
    const taken = tokens.splice(0, at + 1);
    usedTokenIds.push(...idsOf(taken));
    const token = taken.pop();
    if (token === undefined) continue;
    used.push(token);
    // Of a nominal time that was run again the last close counts, and the one before it is no fire of its own.
    const left = taken.filter(({ scheduledAt }) => scheduledAt < token.scheduledAt);
    if (left.length > 0) runAgain.push(parentName);
    older.push(...left);
  }
  return {
    childId: child.scheduleId,
    usedTokenIds,
    superseded: supersededOf(older, `superseded: ${listed(runAgain)} ${runAgain.length > 1 ? 'have' : 'has'} run again since`),
    decision: decisionOf(child, edges, used),
  };
}

function decisionOf(child: Child, edges: readonly Edge[], used: readonly Token[]): FollowDecision | undefined {
  const newest = newestOf(used);
  if (newest === undefined) return undefined;
  const at = used.findIndex((token) => !takes(child.afterState, token.state));
  const refused = used[at];
  if (refused === undefined) return { kind: 'open', ...originOf(newest) };
  const reason = `after: parent ${edges[at]?.parentName} ${stateWords[refused.state]}; the edge takes ${child.afterState}`;
  return { kind: 'skip', reason, ...originOf(refused), scheduledAt: newest.scheduledAt };
}

/** Where one parent runs and runs while another never does, memory stays bounded. */
function giveWay(child: Child, edges: readonly Edge[]): Joined | undefined {
  const full = edges.find((edge) => edge.tokens.length > mostWaiting);
  if (full === undefined) return undefined;
  const taken = full.tokens.splice(0, full.tokens.length - stay);
  const missing = edges.filter((edge) => edge.tokens.length === 0).map((edge) => edge.parentName);
  const most = mostWaiting.toLocaleString('en-US');
  return {
    childId: child.scheduleId,
    usedTokenIds: idsOf(taken),
    superseded: supersededOf(taken, `superseded: more than ${most} runs of ${full.parentName} waited for ${listed(missing)}`),
    decision: undefined,
  };
}

/** In a circle nobody could begin: whoever is asked from outside is skipped. */
function refuse(child: Child, reason: () => string): Joined | undefined {
  const taken = [...child.edges.values()].flatMap((edge) => edge.tokens.splice(0));
  const newest = newestOf(taken);
  if (newest === undefined) return undefined;
  const text = reason();
  const older = taken.filter(({ scheduledAt }) => scheduledAt < newest.scheduledAt);
  return {
    childId: child.scheduleId,
    usedTokenIds: idsOf(taken),
    superseded: supersededOf(older, text),
    decision: { kind: 'skip', reason: text, ...originOf(newest) },
  };
}

/** The newest nominal time of which every edge has a token: each walks back to the oldest of the others until all agree. */
function newestCommon(edges: readonly Edge[]): Instant | undefined {
  const places = edges.map((edge) => edge.tokens.length - 1);
  let time = Number.POSITIVE_INFINITY;
  for (let agreeing = 0; agreeing < edges.length; ) {
    agreeing = 0;
    for (const [index, { tokens }] of edges.entries()) {
      let at = places[index] ?? -1;
      while (at >= 0 && (tokens[at]?.scheduledAt ?? 0) > time) at -= 1;
      const token = tokens[at];
      if (token === undefined) return undefined;
      places[index] = at;
      if (token.scheduledAt === time) agreeing += 1;
      time = token.scheduledAt;
    }
  }
  return time;
}

function supersededOf(tokens: readonly Token[], reason: string): Superseded | undefined {
  const newest = newestOf(tokens);
  if (newest === undefined) return undefined;
  const instants = new Set(tokens.map((token) => token.scheduledAt));
  const firstScheduledAt = tokens.reduce((first, token) => Math.min(first, token.scheduledAt), newest.scheduledAt);
  return { ...originOf(newest), firstScheduledAt, fires: instants.size, reason };
}

/** Where several stand for the newest time, the first named parent's. */
function newestOf(tokens: readonly Token[]): Token | undefined {
  let [newest] = tokens;
  for (const token of tokens) if (newest === undefined || token.scheduledAt > newest.scheduledAt) newest = token;
  return newest;
}

function originOf({ scheduledAt, runId, rootRunId }: Token): Origin {
  return { scheduledAt, parentRunId: runId, rootRunId };
}

function takes(afterState: AfterState, state: Token['state']): boolean {
  switch (state) {
    case 'succeeded':
      return afterState !== 'failure';
    case 'failed':
    case 'timed_out':
    case 'interrupted':
      return afterState !== 'success';
    case 'cancelled':
      return afterState === 'any';
    case 'skipped':
      return false;
    default:
      return state satisfies never;
  }
}

const stateWords: Readonly<Record<Token['state'], string>> = {
  succeeded: 'succeeded',
  failed: 'failed',
  timed_out: 'timed out',
  interrupted: 'was interrupted',
  cancelled: 'was cancelled',
  skipped: 'was skipped',
};

function newChild(scheduleId: number): Child {
  return { scheduleId, name: '', enabled: true, afterState: 'success', edges: new Map(), decided: [], circle: undefined };
}

/** Forgets what waits for the child. */
function voided(child: Child): string[] {
  const decided = child.decided.splice(0).flatMap((joined) => joined.usedTokenIds);
  return [...decided, ...[...child.edges.values()].flatMap((edge) => idsOf(edge.tokens.splice(0)))];
}

function idsOf(tokens: readonly Token[]): string[] {
  return tokens.map((token) => token.tokenId);
}

function listed(names: readonly string[]): string {
  return names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`;
}
