"""Translate PTX, as NVRTC makes it, to C++: each entry becomes a function that runs one thread.

    python ptx2cpp.py kernels.ptx kernels.cpp

What comes out includes thread.h, which has the registers' casts, memory and special registers. An
instruction that is not known here stops the translation with its text.
"""

import re
import sys

TYPES = {
    "pred": "bool", "b8": "uint8_t", "u8": "uint8_t", "s8": "int8_t", "b16": "uint16_t",
    "u16": "uint16_t", "s16": "int16_t", "b32": "uint32_t", "u32": "uint32_t", "s32": "int32_t",
    "b64": "uint64_t", "u64": "uint64_t", "s64": "int64_t", "f32": "float", "f64": "double",
    "f16": "half_t", "b128": "unsigned __int128",
}  # fmt: skip
SIZES = {"8": 1, "16": 2, "32": 4, "64": 8, "d": 1, "128": 16}
WIDER = {"s16": "s32", "u16": "u32", "s32": "s64", "u32": "u64"}
COMPARE = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "lo": "<",
           "ls": "<=", "hi": ">", "hs": ">="}  # fmt: skip
UNORDERED = {"equ": "==", "neu": "!=", "ltu": "<", "leu": "<=", "gtu": ">", "geu": ">="}
SPECIAL = {f"%{n}.{a}": f"t.{n}[{i}]" for n in ("tid", "ntid", "ctaid", "nctaid")
           for i, a in enumerate("xyz")}  # fmt: skip
SPECIAL |= {"%laneid": "t.lane()", "WARP_SZ": "32", "%warpid": "t.warp()",
            "%clock64": "0", "%lanemask_lt": "t.lanemask_lt()"}  # fmt: skip
HEAVY = {
    "div": 20,
    "rem": 22,
    "sqrt": 12,
    "rcp": 8,
}  # instructions that one PTX instruction becomes


class Unknown(Exception):
    """An instruction or a declaration that is not known here."""


def size_of(type_):
    return SIZES[re.search(r"(8|16|32|64|128|d)$", type_)[1]]


class Entry:
    def __init__(self, name, parameters, body):
        self.name, self.body, self.barriers = name, body, False
        self.offsets, self.sizes, self.kinds, end = {}, [], [], 0
        for text in filter(None, (p.strip() for p in parameters.split(","))):
            m = re.match(
                r"\.param\s+(?:\.align\s+(\d+)\s+)?\.(\w+)(?:\s+\.ptr\S*(?:\s+\.\w+)*(?:\s+\d+)?)?"
                r"\s+(\w+)(?:\[(\d+)\])?$", text)  # fmt: skip
            if not m:
                raise Unknown(text)
            size = int(m[4]) if m[4] else size_of(m[2])
            align = int(m[1]) if m[1] else size
            end = -(-end // align) * align
            self.offsets[m[3]] = end
            self.sizes.append((end, size))
            self.kinds.append(m[2] if not m[4] else f"b{8 * size}")
            end += size
        self.total = end
        self.shared, self.local, self.shared_size, self.local_size = {}, {}, 0, 0
        self.registers, self.lines, self.pc, self.stretch = [], [], 0, 0

    def translate(self, shared):
        self.shared = dict(shared)
        depth = 0
        for raw in statements(self.body):
            text = raw.strip()
            if text in "{}":
                depth += {"{": 1, "}": -1}[text] if text else 0
                continue
            if text.endswith(":"):
                self.flush()
                self.lines.append(f"{label(text[:-1])}:;")
            elif text.startswith("."):
                self.declare(text)
            else:
                self.instruction(text)
        self.flush()
        lines = [f'extern "C" void {self.name}(Thread& t, const uint8_t* P) {{']
        lines += [f"    {line}" for line in sorted(set(self.registers))]
        if self.local_size:
            lines.append(f"    alignas(16) uint8_t local[{self.local_size}];")
        lines += [f"    {line}" for line in self.lines] + ["end:;", "}"]
        table = ", ".join(f"{{{offset}, {size}}}" for offset, size in self.sizes)
        lines.append(
            f'extern "C" {{ Layout {self.name}__layout = {{{len(self.sizes)}, {self.total}, '
            f"{int(self.barriers)}, {self.shared_size}, {{{table or '{0, 0}'}}}, "
            f'"{" ".join(self.kinds)}"}}; }}'
        )
        return "\n".join(lines)

    def flush(self):
        if self.stretch:
            self.lines.append(f"COUNT({self.stretch})")
            self.stretch = 0

    def declare(self, text):
        m = re.match(r"\.reg\s+\.(\w+)\s+(.+)$", text)
        if m:
            for name in m[2].split(","):
                many = re.match(r"%(\w+?)<(\d+)>", name.strip())
                type_ = TYPES[m[1]]
                names = (
                    [f"{many[1]}{i}" for i in range(int(many[2]))] if many else [name.strip(" %")]
                )
                self.registers += [f"{type_} r_{n}{{}};" for n in names]
            return
        m = re.match(
            r"\.(local|shared)\s+(?:\.align\s+(\d+)\s+)?\.(\w+)\s+(\w+)(?:\[(\d+)\])?$", text
        )
        if m:
            kind, align, count = m[1], int(m[2] or 8), int(m[5] or 1) * size_of(m[3])
            places = self.local if kind == "local" else self.shared
            end = self.local_size if kind == "local" else self.shared_size
            end = -(-end // align) * align
            places[m[4]] = end
            if kind == "local":
                self.local_size = end + count
            else:
                self.shared_size = end + count
            return
        if re.match(r"\.(pragma|loc|file|section|maxn|minn|reqn)", text):
            return
        raise Unknown(text)

    def operand(self, text, type_):
        text, c = text.strip(), TYPES[type_]
        if text in SPECIAL:
            return f"as<{c}>((uint32_t)({SPECIAL[text]}))"
        if text.startswith("%"):
            return f"as<{c}>(r_{text[1:]})"
        if text.startswith("0f"):
            return f"as<{c}>(bits<float>(0x{text[2:]}u))"
        if text.startswith("0d"):
            return f"as<{c}>(bits<double>(0x{text[2:]}ull))"
        if re.match(r"-?(0x[0-9A-Fa-f]+|\d+)U?$", text):
            value = int(text.rstrip("U"), 0)
            if type_ == "pred":
                return "true" if value else "false"
            if type_ in ("f32", "f64"):
                return f"({c}){value}"
            # The most negative number has no literal of its own.
            return f"({c}){value}ull" if value >= 0 else f"({c})(int64_t)(-{-value - 1}ll-1)"
        if text in self.offsets:  # a record's address, of which a part is read
            return f"as<{c}>((uint64_t)(P + {self.offsets[text]}))"
        if text in self.local:
            return f"as<{c}>((uint64_t)(local + {self.local[text]}))"
        if text in self.shared:
            return f"as<{c}>((uint64_t)(t.shared + {self.shared[text]}))"
        raise Unknown(f"operand {text}")

    def address(self, text, space):
        m = re.match(r"\[\s*([%\w]+)\s*(?:\+\s*(-?\d+))?\s*\]$", text.strip())
        if not m:
            raise Unknown(f"address {text}")
        base, plus = m[1], int(m[2] or 0)
        if space == "param" and base in self.offsets:
            return f"(uint64_t)(P + {self.offsets[base] + plus})"
        return f"({self.operand(base, 'u64')} + (int64_t){plus})"

    def instruction(self, text):
        self.pc += 1
        guard = ""
        m = re.match(r"@(!?)%(\w+)\s+(.*)$", text)
        if m:
            guard, text = f"if ({m[1]}r_{m[2]}) ", m[3]
        name, _, rest = text.partition(" ")
        name, rest = name.strip(), rest.strip()
        parts = name.split(".")
        self.stretch += HEAVY.get(parts[0], 1)
        if parts[0] in ("bra", "ret", "exit"):
            self.flush()
        body = self.body_of(parts, split(rest))
        self.lines.append(f"{guard}{{ {body} }}")

    def body_of(self, parts, ops):
        op, mods, type_ = parts[0], parts[1:-1], parts[-1]
        o = self.operand

        def result(expression, where=None, kind=None):
            return (
                f"put(r_{(where or ops[0]).lstrip('%')}, ({TYPES[kind or type_]})({expression}));"
            )

        if op == "bra":
            return f"goto {label(ops[0])};"
        if op in ("ret", "exit"):
            return "goto end;"
        if op in ("bar", "barrier"):
            self.barriers = True
            return "t.wait();"
        if op in ("membar", "fence", "nanosleep", "prefetch", "discard"):
            return ";"
        if op == "trap":
            return "trapped();"
        if op in ("ld", "ldu", "st"):
            return self.memory(op, mods, type_, ops)
        if op in ("mov", "cvta"):
            if op == "cvta" or not (ops[0].startswith("{") or ops[1].startswith("{")):
                return result(o(ops[1], type_))
            return self.packed(type_, ops)
        if op == "shfl":
            self.barriers = True
            return self.shuffle(mods, ops)
        if op == "atom" or op == "red":
            return self.atomic(op, mods, type_, ops)
        if op == "vote" or op == "activemask" or op == "match":
            raise Unknown(".".join(parts))
        if op == "cvt":
            return self.convert(mods, type_, ops)
        if op == "setp":
            a, b = o(ops[1], type_), o(ops[2], type_)
            compare = mods[0]
            if compare in ("num", "nan"):
                value = f"{'' if compare == 'nan' else '!'}(is_nan({a}) || is_nan({b}))"
            elif compare in UNORDERED:
                value = f"is_nan({a}) || is_nan({b}) || {a} {UNORDERED[compare]} {b}"
            elif compare == "ne" and type_.startswith("f"):
                value = f"!is_nan({a}) && !is_nan({b}) && {a} != {b}"
            else:
                value = f"{a} {COMPARE[compare]} {b}"
            if len(ops) > 3 or "|" in ops[0] or (len(mods) > 1 and mods[1] in ("and", "or", "xor")):
                both = {"and": "&&", "or": "||", "xor": "!="}[mods[1]]
                value = f"({value}) {both} {o(ops[3], 'pred')}"
            return result(value, kind="pred")
        if op == "selp":
            return result(f"{o(ops[3], 'pred')} ? {o(ops[1], type_)} : {o(ops[2], type_)}")
        if op == "set":
            raise Unknown(".".join(parts))
        if op in ("add", "sub", "and", "or", "xor") or op == "div" or op == "mul" or op == "rem":
            a, b = o(ops[1], type_), o(ops[2], type_)
            if op == "mul" and mods and mods[0] in ("wide", "hi", "lo"):
                return self.multiplied(mods[0], type_, ops)
            if op in ("div", "rem") and not type_.startswith("f"):
                return result(f"{'quotient' if op == 'div' else 'remainder_'}({a}, {b})")
            if type_[0] == "s" and op in ("add", "sub"):  # wraps around
                u = TYPES["u" + type_[1:]]
                a, b = f"({u}){a}", f"({u}){b}"
            if type_ == "pred":
                sign = {"and": "&&", "or": "||", "xor": "!="}[op]
            else:
                sign = {"add": "+", "sub": "-", "and": "&", "or": "|", "xor": "^", "div": "/",
                        "mul": "*"}[op]  # fmt: skip
            value = f"{a} {sign} {b}"
            return result(f"saturated({value})" if "sat" in mods else value)
        if op == "mad":
            wide = mods[0] == "wide"
            kind = WIDER[type_] if wide else type_
            product = self.product(mods[0], type_, ops)
            u = TYPES["u" + kind[1:]] if kind[0] in "su" else TYPES[kind]
            return result(f"({u})({product}) + ({u}){o(ops[3], kind)}", kind=kind)
        if op == "fma":
            down = "_down" if "rm" in mods else "_up" if "rp" in mods else ""
            return result(f"fused{down}({', '.join(o(x, type_) for x in ops[1:4])})")
        if op in ("min", "max"):
            return result(f"{op}imum({o(ops[1], type_)}, {o(ops[2], type_)})")
        if op == "neg":
            return result(f"negative({o(ops[1], type_)})")
        if op == "abs":
            return result(f"absolute({o(ops[1], type_)})")
        if op == "not":
            return result(f"{'!' if type_ == 'pred' else '~'}{o(ops[1], type_)}")
        if op in ("shl", "shr"):
            kind = "s" + type_[1:] if type_[0] == "s" else "u" + type_[1:]
            return result(f"shift_{op[2]}({o(ops[1], kind)}, {o(ops[2], 'u32')})")
        if op in ("sqrt", "rcp", "rsqrt", "ex2", "lg2", "sin", "cos", "tanh"):
            return result(f"f_{op}({o(ops[1], type_)})")
        if op in ("popc", "clz", "ffs", "brev"):
            return result(f"i_{op}({o(ops[1], type_)})", kind="u32")
        if op == "bfe":
            return result(f"bfe({o(ops[1], type_)}, {o(ops[2], 'u32')}, {o(ops[3], 'u32')})")
        if op == "prmt":
            return result(f"prmt({', '.join(o(x, 'u32') for x in ops[1:4])})")
        if op == "testp":
            test = {"finite": "std::isfinite", "infinite": "std::isinf", "notanumber": "is_nan",
                    "number": "!is_nan"}[mods[0]]  # fmt: skip
            return result(f"{test}({o(ops[1], type_)})", kind="pred")
        if op == "copysign":
            return result(f"std::copysign({o(ops[2], type_)}, {o(ops[1], type_)})")
        raise Unknown(".".join(parts) + " " + ", ".join(ops))

    def product(self, how, type_, ops):
        a, b = self.operand(ops[1], type_), self.operand(ops[2], type_)
        if how == "wide":
            w = TYPES[WIDER[type_]]
            return f"({w}){a} * ({w}){b}"
        if how == "hi":
            w = "__int128" if type_[0] == "s" else "unsigned __int128"
            return f"({TYPES[type_]})((({w}){a} * ({w}){b}) >> {8 * size_of(type_)})"
        u = TYPES["u" + type_[1:]]
        return f"({u})(({u}){a} * 1u * ({u}){b})"

    def multiplied(self, how, type_, ops):
        kind = WIDER[type_] if how == "wide" else type_
        return f"put(r_{ops[0][1:]}, ({TYPES[kind]})({self.product(how, type_, ops)}));"

    def memory(self, op, mods, type_, ops):
        known = ("param", "global", "shared", "local", "const")
        space = next((m for m in (x.partition("::")[0] for x in mods) if m in known), "generic")
        width = next((int(m[1]) for m in mods if m in ("v2", "v4")), 1)
        vector, place = (ops[0], ops[1]) if op != "st" else (ops[1], ops[0])
        names = split(vector.strip("{} ")) if width > 1 else [vector]
        at, size, c = self.address(place, space), size_of(type_), TYPES[type_]
        out, accesses = [], []
        if space in ("global", "generic"):
            out.append(f"if (t.check({at}, {size * width}, {int(op == 'st')}, {self.pc}))")
        for i, name in enumerate(names):
            where = f"({at} + {i * size})"
            if op == "st":
                accesses.append(f"*({c}*){where} = {self.operand(name, type_)};")
            else:
                accesses.append(f"put(r_{name.strip().lstrip('%')}, *(const {c}*){where});")
        return " ".join([*out, "{", *accesses, "}"])

    def convert(self, mods, source, ops):
        target = next(m for m in mods if m in TYPES)
        rounding = next((m for m in mods if re.fullmatch(r"r[nzmp]i?", m)), "")
        value = self.operand(ops[1], source)
        if target[0] == "f" and source[0] == "f":
            if target == source and rounding:
                value = f"round_{rounding}({value})"
            if "sat" in mods:
                value = f"saturated({value})"
            value = f"({TYPES[target]})({value})"
        elif source[0] == "f":
            value = f"to_whole<{TYPES[target]}>(round_{rounding}({value}))"
        else:
            value = f"({TYPES[target]})({value})"
        return f"put(r_{ops[0].lstrip('%')}, {value});"

    def packed(self, type_, ops):
        if ops[0].startswith("{"):
            names = split(ops[0].strip("{} "))
            value, each = self.operand(ops[1], type_), 8 * size_of(type_) // len(names)
            return " ".join(
                f"put(r_{n.strip().lstrip('%')}, (uint{each}_t)({value} >> {i * each}));"
                for i, n in enumerate(names)
                if n.strip() != "_"
            )
        names = split(ops[1].strip("{} "))
        each, c = 8 * size_of(type_) // len(names), TYPES[type_]
        value = " | ".join(
            f"(({c}){self.operand(n, f'b{each}')} << {i * each})" for i, n in enumerate(names)
        )
        return f"put(r_{ops[0][1:]}, ({c})({value}));"

    def shuffle(self, mods, ops):
        how = next(m for m in mods if m in ("up", "down", "bfly", "idx"))
        target, _, flag = ops[0].partition("|")
        given = ", ".join(self.operand(x, "u32") for x in ops[1:4])
        flag = f"r_{flag.lstrip('%')} = inside;" if flag else ""
        value = f"t.shuffle(Thread::{how}, {given}, inside)"
        return f"bool inside; put(r_{target.lstrip('%')}, {value}); {flag}"

    def atomic(self, op, mods, type_, ops):
        how = next(m for m in mods if m in ("add", "min", "max", "exch", "cas", "and", "or", "xor"))
        if type_[0] == "f" and how not in ("add", "exch"):
            raise Unknown(f"atom.{how}.{type_}")
        if op == "red":
            ops = [None, *ops]
        at, c = self.address(ops[1], "generic"), TYPES[type_]
        value = [self.operand(x, type_) for x in ops[2:]]
        new = {
            "add": f"old + {value[0]}",
            "min": f"minimum(old, {value[0]})",
            "max": f"maximum(old, {value[0]})",
            "exch": value[0],
            "and": f"old & {value[0]}",
            "or": f"old | {value[0]}",
            "xor": f"old ^ {value[0]}",
            "cas": f"old == {value[0]} ? {value[-1]} : old",
        }[how]
        put = f"put(r_{ops[0][1:]}, old);" if ops[0] and ops[0] != "_" else ""
        return f"{c} old = *({c}*){at}; *({c}*){at} = ({c})({new}); {put}"


def label(text):
    return "L_" + re.sub(r"\W", "_", text.strip())


def split(text):
    """Split operands at commas that are not within braces or brackets."""
    parts, depth, current = [], 0, ""
    for c in text:
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(c, 0)
        if c == "," and depth == 0:
            parts.append(current.strip())
            current = ""
        else:
            current += c
    return [*parts, current.strip()] if current.strip() else parts


def statements(body):
    """Yield instructions, declarations and labels, without comments."""
    for line in body.splitlines():
        line = line.strip()
        if line in ("", "{", "}"):
            continue
        m = re.match(r"(\$?\w+):\s*(.*)$", line)
        if m:
            yield f"{m[1]}:"
            line = m[2]
        yield from filter(None, (p.strip() for p in line.split(";")))


def translate(ptx):
    text = re.sub(r"//.*", "", re.sub(r"/\*.*?\*/", "", ptx, flags=re.S))
    shared, end = {}, 0
    for m in re.finditer(
        r"^\s*(?:\.extern|\.visible|\.weak)?\s*\.shared\s+\.align\s+(\d+)\s+\.b8\s+(\w+)\[(\d*)\];",
        text,
        re.M,
    ):
        end = -(-end // int(m[1])) * int(m[1])
        shared[m[2]] = end
        end += int(m[3] or 0)
    out = ['#include "thread.h"']
    for m in re.finditer(r"\.entry\s+(\w+)\s*\((.*?)\)([^{]*)\{", text, re.S):
        depth, i = 1, m.end()
        while depth:
            depth += {"{": 1, "}": -1}.get(text[i], 0)
            i += 1
        entry = Entry(m[1], m[2], text[m.end() : i - 1])
        entry.shared_size = end
        out.append(entry.translate(shared))
    return "\n\n".join(out) + "\n"


def main(source, target):
    with open(source, encoding="utf-8", errors="replace") as file:
        ptx = file.read().rstrip("\0")
    with open(target, "w", encoding="utf-8") as file:
        file.write(translate(ptx))


if __name__ == "__main__":
    main(*sys.argv[1:])
