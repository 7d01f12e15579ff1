// A vat that does whatever its messages tell it. The adversary of tests/src/adversary writes the programs.
//
// A program stands in a message's body (or in the vat's parameters) between `!` and `"`. It is a row of operations, each a
// letter, up to four decimal numbers with commas, and for some a text in <>, in which ^ stands for a quotation mark. The state
// that operations set (data, method, slots) lasts as long as the vat.
//
//   d K,S      what is sent is of kind K and size S (see put_data)      f F,N     with N slots of kind F (see put_slot)
//   m<T>       the method is called T; `u`: a lone surrogate            p<T>      the arguments begin with T
//   w W        0: one argument, 1: the data are the arguments, 2: the data are the whole body
//   s T,N,R    N messages to T; R 1: with a result promise, 2: and subscribes to it
//   r N,X,B    settles N of the vat's promises, X 1: by rejection, B 1: in one syscall
//   c T,N      calls the device T, N times          b T,N     subscribes to T, N times
//   k L,S,N    writes N keys of L bytes with values of S bytes; `K` deletes them, `g` reads them, `q` writes one key N times
//   n N        walks N keys in their order          j T,N,K   collection: syscall 9 + K for N references from T on
//   x F        exits, by failure if F               a A       answers: 0 undefined, 1 the data, 2 rejects with the data, 3 never
//   e N        ends with an error text of N bytes   v K       faults: 0 to 2 by name, 3 trap, 4 loops, 5 recurses, 6 no end,
//                                                              7 ends twice, 8 rubbish for an end
//   l N        turns N times in a loop              h N       grows its memory by N pages
//   o N,S      logs N lines of S bytes              z T,S     a syscall that is T and then S bytes of rubbish
//   y          forgets what it knows                i{...}    what is done at each notification and collection
//   M N        grows its memory N times by nothing  F N,L     fills L bytes N times
//   R N,P      reads N times, all over P pages
//
// Targets T: 0 to 127 what it was given, 199 the last of that, 200 its own root, 201 the last promise it made, 202 and on what nobody has.
typedef unsigned char u8;
typedef unsigned int u32;
#define IMPORT(name) __attribute__((import_module("capstan"), import_name(#name)))
#define EXPORT(name) __attribute__((export_name(#name)))
IMPORT(syscall) int host_syscall(const void *, u32);
IMPORT(done) void host_done(const void *, u32);
IMPORT(log) void host_log(int, const void *, u32);
IMPORT(fault) void host_fault(int);

#define PAGE 65536u
#define KNOWN 128u
static struct { u32 size; char text[60]; } known[KNOWN];
static u32 known_count, known_next;
static u8 *in, *out;
static u32 out_room, out_size;
static u32 kind, size, slot_kind, slot_count, wrap, answer, keys_made, objects = 100, first_promise = 1000, promises = 1000;
static char method[256] = "x", prefix[512], later[512];
static u32 method_size = 1, prefix_size, later_size;
static volatile u32 sink;

void *memset(void *to, int byte, unsigned long count) { return __builtin_memset(to, byte, count); }
void *memcpy(void *to, const void *from, unsigned long count) { return __builtin_memcpy(to, from, count); }

static u8 *room_at(u8 *old, u32 *room, u32 wanted) {
  if (*room >= wanted) return old;
  u32 pages = (wanted + PAGE - 1) / PAGE, at = __builtin_wasm_memory_grow(0, pages);
  if (at == ~0u) __builtin_trap();
  if (old) __builtin_memcpy((u8 *)(at * PAGE), old, *room);
  *room = pages * PAGE;
  return (u8 *)(at * PAGE);
}
static void room(u32 more) {
  if (out_room - out_size < more) out = room_at(out, &out_room, 2 * out_room > out_size + more ? 2 * out_room : out_size + more);
}
static void put8(u8 v) { room(1); out[out_size++] = v; }
static void put32(u32 v) { room(4); __builtin_memcpy(out + out_size, &v, 4); out_size += 4; }
static void put(const void *from, u32 count) { room(count); __builtin_memcpy(out + out_size, from, count); out_size += count; }
static void text(const char *from) { u32 l = 0; while (from[l]) l++; put(from, l); }
static void fill(char byte, u32 count) { room(count); __builtin_memset(out + out_size, byte, count); out_size += count; }
static void digits(u32 v) { if (v >= 10) digits(v / 10); put8('0' + v % 10); }
static void times(const char *what, const char *between, u32 count) {
  for (u32 i = 0; i < count; i++) { if (i) text(between); text(what); }
}
// A borsh string: its length is written when it is over.
static u32 begin(void) { put32(0); return out_size; }
static void end(u32 from) { u32 l = out_size - from; __builtin_memcpy(out + from - 4, &l, 4); }
static void named(const char *letters, u32 number) { u32 at = begin(); text(letters); digits(number); end(at); }
static void call(u8 tag) { out_size = 0; put8(tag); }
static void make(void) { host_syscall(out, out_size); }

static void put_target(u32 t) {
  static const char *const odd[] = {"", "o-999999", "p-999999", "ko20", "d-1", "o+18446744073709551616", "o+d9/7:1", "rp-1"};
  u32 at;
  if (t < KNOWN && known_count) {
    u32 i = t % known_count;
    put32(known[i].size); put(known[i].text, known[i].size);
  } else if (t == 199) {
    u32 i = (known_next + KNOWN - 1) % KNOWN;
    put32(known[i].size); put(known[i].text, known[i].size);
  } else if (t == 200) named("o+", 0);
  else if (t == 201) named("p+", promises);
  else { at = begin(); text(odd[t % 8]); end(at); }
}
static void put_slot(u32 i) {
  switch (slot_kind) {
  case 0: put_target(i % KNOWN); break;
  case 1: named("o+", ++objects); break;
  case 2: named("p+", ++promises); break;
  case 3: put_target(0); break;
  case 4: named("o+", 11); break;
  case 5: named("p+", first_promise + 1); break;            // the next one to be settled: itself
  case 6: named("p+", first_promise + 2 + i); break;        // those after it
  case 7: named("o+d", i); break;
  case 8: put_target(199); break;
  default: put_target(202 + i); break;
  }
}
static u32 promised(void) {
  return slot_kind == 2 || slot_kind == 5 || slot_kind == 6 || (slot_kind == 8 && known[(known_next + KNOWN - 1) % KNOWN].text[0] == 'p');
}
static void put_data(void) {
  u32 i;
  switch (kind) {
  case 0: text("[]"); break;
  case 1: put8('"'); fill('x', size); put8('"'); break;
  case 2: fill('[', size + 1); fill(']', size + 1); break;
  case 3: put8('['); times("[]", ",", size); put8(']'); break;
  case 4: put8('['); times("[{}],{}", ",", size); put8(']'); break;
  case 5: put8('['); times("{\"\":[]}", ",", size); put8(']'); break;
  case 6: fill('{', size); break;
  case 7: put8('"'); times("\\ud800", "", size); put8('"'); break;
  case 8: put8('"'); put8('+'); fill('9', size); put8('"'); break;
  case 9: fill('9', size); break;
  case 10: put8('['); times("{\"#error\":\"\",\"name\":\"Error\"}", ",", size); put8(']'); break;
  case 11: text("{\"#error\":\""); fill('e', size); text("\",\"name\":\"Error\"}"); break;
  case 12: times("{\"#tag\":\"t\",\"payload\":", "", size); put8('0'); fill('}', size); break;
  case 13: times("{\"a\":", "", size); put8('0'); fill('}', size); break;
  case 14: put8('['); for (i = 0; i < slot_count; i++) { if (i) put8(','); text(promised() ? "\"&" : "\"$"); digits(i); put8('"'); } put8(']'); break;
  case 15: put8('"'); times("\\u0000", "", size); put8('"'); break;
  case 16: put8('"'); fill(1, size); put8('"'); break;
  case 17: text("[\"$"); digits(size); text("\",\"&"); digits(size); text("\"]"); break;
  case 18: put8('"'); times("\xf0\x9f\x98\x80\xef\xbf\xbf", "", size); put8('"'); break;
  case 19: put8('['); times("\"#undefined\",\"#NaN\",\"%@@asyncIterator\",-0", ",", size); put8(']'); break;
  case 20: put8('{'); for (i = 0; i < size; i++) { if (i) put8(','); text("\"k"); digits(i); text("\":0"); } put8('}'); break;
  case 21: put8('{'); times("\"__proto__\":[]", ",", size); put8('}'); break;
  case 22: fill('e', size); break;                          // no JSON
  default: text("\"$0.Alleged: "); fill('f', size); put8('"'); break;
  }
}
static void put_capdata(u32 as_message) {
  u32 at = begin();
  put8('#');
  if (as_message && wrap < 2) {
    text("[\""); put(method, method_size); text("\",");
    if (!wrap) put8('[');
    put(prefix, prefix_size);
    put_data();
    if (!wrap) put8(']');
    put8(']');
  } else put_data();
  end(at);
  put32(slot_count);
  for (u32 i = 0; i < slot_count; i++) put_slot(i);
}
static void undefined(void) { u32 at = begin(); text("#\"#undefined\""); end(at); put32(0); }

static void key(u32 length, u32 number) {
  u32 at = begin(), d = 1;
  for (u32 v = number; v >= 10; v /= 10) d++;
  fill('k', length > d ? length - d : 0); digits(number);
  end(at);
}
static void vatstore(u8 tag, u32 length, u32 value, u32 number) {
  call(tag); key(length, number);
  if (tag == 7) { u32 at = begin(); fill('v', value); end(at); }
  make();
}
static void send(u32 target, u32 result) {
  call(0); put_target(target); put_capdata(1); put8(result > 0);
  if (result) named("p+", ++promises);
  make();
  if (result > 1) { call(2); named("p+", promises); make(); }
}
static void settle(u32 count, u32 rejected, u32 at_once) {
  for (u32 i = 0; i < count; i++) {
    if (!i || !at_once) { call(3); put32(at_once ? count : 1); }
    named("p+", first_promise + 1); put8(rejected); put_capdata(0);
    first_promise++;
    if (!at_once || i + 1 == count) make();
  }
}
static void collect(u32 from, u32 count, u32 which) {
  call(9 + which % 4); put32(count);
  for (u32 i = 0; i < count; i++) which % 4 < 2 ? put_target(from + i) : named("o+", from + i);
  make();
}
static u8 *pages;
static u32 page_room;
static void read_all_over(u32 count, u32 wanted) {
  if (!wanted || wanted > 4000) return;
  pages = room_at(0, &page_room, wanted * PAGE > page_room ? wanted * PAGE : 0) ?: pages;
  for (u32 x = 1; count--; x = x * 1664525 + 1013904223) sink += pages[(x >> 4) % (wanted * PAGE)];
}
static void end_with(u32 length) { call(1); u32 at = begin(); fill('E', length); end(at); host_done(out, out_size); }
static __attribute__((noinline)) u32 recurse(u32 n) { volatile u32 here[4]; here[n % 4] = n; return n == ~0u ? 0 : recurse(n + 1) + here[n % 3]; }

static const u8 *from_in(u32 *l) { const u8 *at = in; __builtin_memcpy(l, at, 4); in += 4 + *l; return at + 4; }
// The program's text, read at p.
static u32 copy(const u8 *p, const u8 *stop, char open, char close, char *to, u32 most, u32 *length) {
  u32 i = 0, l = 0, depth = 0;
  if (p < stop && *p == open) for (i = 1; p + i < stop && (p[i] != close || depth); i++) if (l < most) to[l++] = p[i] == '^' ? '"' : p[i];
  *length = l;
  return i + 1;
}
// 1 if the delivery has ended.
static u32 run(const u8 *p, const u8 *stop) {
  while (p < stop) {
    u8 op = *p++;
    u32 a[4] = {0, 0, 0, 0}, i;
    for (i = 0; i < 4; i++) {
      while (p < stop && *p >= '0' && *p <= '9') a[i] = a[i] * 10 + *p++ - '0';
      if (p < stop && *p == ',') p++; else break;
    }
    switch (op) {
    case 'd': kind = a[0]; size = a[1]; break;
    case 'f': slot_kind = a[0]; slot_count = a[1]; break;
    case 'm': p += copy(p, stop, '<', '>', method, sizeof method, &method_size); break;
    case 'u': __builtin_memcpy(method, "\\ud800", 6); method_size = 6; break;
    case 'p': p += copy(p, stop, '<', '>', prefix, sizeof prefix, &prefix_size); break;
    case 'i': p += copy(p, stop, '{', '}', later, sizeof later, &later_size); break;
    case 'w': wrap = a[0]; break;
    case 's': for (i = 0; i < a[1]; i++) send(a[0], a[2]); break;
    case 'r': settle(a[0], a[1], a[2]); break;
    case 'c': for (i = 0; i < a[1]; i++) { call(1); put_target(a[0]); put32(method_size); put(method, method_size); put_capdata(0); make(); } break;
    case 'b': for (i = 0; i < a[1]; i++) { call(2); put_target(a[0]); make(); } break;
    case 'k': for (i = 0; i < a[2]; i++) vatstore(7, a[0], a[1], keys_made++); break;
    case 'K': for (i = 0; i < a[2]; i++) vatstore(8, a[0], 0, keys_made - 1 - i); break;
    case 'g': for (i = 0; i < a[2]; i++) vatstore(5, a[0], 0, keys_made - 1 - i); break;
    case 'q': for (i = 0; i < a[2]; i++) vatstore(i % 2 ? 8 : 7, a[0], a[1], 0); break;
    case 'n': for (i = 0; i < a[0]; i++) vatstore(6, 1 + i % 9, 0, i); break;
    case 'j': collect(a[0], a[1], a[2]); break;
    case 'x': call(4); put8(a[0]); put_capdata(0); make(); break;
    case 'a': answer = a[0]; break;
    case 'e': end_with(a[0]); return 1;
    case 'l': for (i = 0; i < a[0]; i++) sink += i; break;
    case 'h': sink += __builtin_wasm_memory_grow(0, a[0]); break;
    case 'M': for (i = 0; i < a[0]; i++) sink += __builtin_wasm_memory_grow(0, 0); break;
    case 'F': out_size = 0; room(a[1]); for (i = 0; i < a[0]; i++) __builtin_memset(out, i + 1, a[1]); break;
    case 'R': read_all_over(a[0], a[1]); break;
    case 'o': out_size = 0; fill('L', a[1]); for (i = 0; i < a[0]; i++) host_log(i % 6, out, out_size); break;
    case 'z': call(a[0]); fill('z', a[1]); make(); break;
    case 'y': known_count = known_next = 0; break;
    case 'v':
      switch (a[0]) {
      case 0: case 1: case 2: host_fault(a[0]); break;
      case 3: __builtin_trap();
      case 4: for (;;) sink++;
      case 5: sink = recurse(0); break;
      case 6: return 1;
      case 7: out_size = 0; put8(0); host_done(out, 1); host_done(out, 1); return 1;
      default: out_size = 0; fill((char)a[1], a[2]); host_done(out, out_size); return 1;
      }
      break;
    }
  }
  return 0;
}
static u32 perform(const u8 *body, u32 length) {
  u32 from = 0, to;
  while (from < length && body[from] != '!') from++;
  for (to = from; to < length && body[to] != '"'; to++) {}
  return from < length ? run(body + from + 1, body + to) : 0;
}
static void learn(const u8 *name, u32 length) {
  if (length > 60 || length < 3 || name[1] == '+') return;
  for (u32 i = 0; i < known_count; i++)
    if (known[i].size == length && !__builtin_memcmp(known[i].text, name, length)) return;
  known[known_next].size = length;
  __builtin_memcpy(known[known_next].text, name, length);
  known_next = (known_next + 1) % KNOWN;
  if (known_count < KNOWN) known_count++;
}
static void learn_slots(void) {
  u32 count, l;
  __builtin_memcpy(&count, in, 4); in += 4;
  for (u32 i = 0; i < count; i++) { const u8 *slot = from_in(&l); learn(slot, l); }
}
static void respond(const u8 *result, u32 length) {
  if (answer == 3) return;
  call(3); put32(1); put32(length); put(result, length); put8(answer == 2);
  if (answer) put_capdata(0); else undefined();
  make();
}
int memcmp(const void *a, const void *b, unsigned long n) {
  const u8 *x = a, *y = b;
  for (; n; n--, x++, y++) if (*x != *y) return *x - *y;
  return 0;
}

EXPORT(capstan_abi) int abi(void) { return 1; }
static u8 *delivery;
static u32 delivery_room;
EXPORT(capstan_alloc) void *alloc(u32 length) {
  delivery = room_at(0, &delivery_room, length > delivery_room ? length : 0) ?: delivery;
  return delivery;
}
EXPORT(capstan_deliver) void deliver(u8 *at, u32 length) {
  u32 l, over = 0, result_length = 0;
  const u8 *result = 0, *body;
  u8 tag = at[0];
  in = at + 1;
  if (tag == 0) {
    body = from_in(&l); learn_slots(); over = perform(body, l);
  } else if (tag == 1) {
    u32 body_length;
    from_in(&l); body = from_in(&body_length); learn_slots();
    if (*in++) result = from_in(&result_length);
    over = perform(body, body_length);
    if (!over && result) respond(result, result_length);
  } else if (tag == 2 || tag == 6) {
    over = run((u8 *)later, (u8 *)later + later_size);
  }
  if (!over) { out_size = 0; put8(0); host_done(out, 1); }
}
