"""The paper's experimental conditions: the column heads of its tables, as records."""

import dataclasses
import re
from dataclasses import dataclass
from decimal import Decimal

from minibp import usercode
from minibp.checks import is_number, plain
from minibp.errors import InputError
from minibp.feedback import FeedbackRule, get_rule, new_rule, split_name
from minibp.plugins import PLUGINS, Plugin, new_plugin

FREEZE = {"Bottom": "bottom", "Top": "top"}
HEAD = re.compile(
    r"(?P<feedback>.+?)??"
    r"(?P<bn>(^|\+)BN(?:\((?P<affine>affine|plain)\))?)?"
    r"(?P<bm>(^|\+)BM(?P<setting>[123])?)?"
    r"(?: (?P<freeze>Bottom|Top))?"
)


@dataclass(frozen=True)
class Condition:
    """One way to learn: a column of Tables 2–5, or a new combination.

    feedback   a rule's name ("frSF"), or a user's ("my_rules.py:MyRule"); "BP" is V = W
    p          probability that a feedback sign is flipped, 0 to 1; None for rules without p
    bn         Batch Normalization after every hidden convolution and fully connected layer
    bn_affine  learnable BN scale and shift: "auto" (in plain BN and BN+BM alone), "on", "off"
    bm         Batch Manhattan's setting (Eq. 3): 0 is SGD
    freeze     "bottom": the last layer stays at its random start; "top": only it learns
    updates    plug-ins of Eq. 3, by name ("Muon"), or a user's ("my_updates.py:Mine"), in order

    >>> Condition.parse("frSF-25+BN+BM2 Bottom")
    Condition(feedback='frSF', p=0.25, bn=True, bn_affine='auto', bm=2, freeze='bottom', updates=())
    >>> print(Condition(feedback="BP", bn=True, bm=1))
    BN+BM
    """

    feedback: str = "BP"
    p: float | None = None
    bn: bool = False
    bn_affine: str = "auto"
    bm: int = 0
    freeze: str | None = None
    updates: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for entry in dataclasses.fields(self):
            object.__setattr__(self, entry.name, plain(getattr(self, entry.name)))
        if not isinstance(self.feedback, str):
            raise InputError(f"feedback={self.feedback!r}: expected a rule's name, such as 'frSF'.")
        if self.p is not None and not is_number(self.p):
            raise InputError(f"p={self.p!r}: expected a probability from 0 to 1.")
        takes_p = get_rule(self.feedback).takes_p
        if self.p is not None and not takes_p:
            raise InputError(f"rule {self.feedback!r} has no flip probability, but got p={self.p}.")
        if self.p is not None and not 0 <= self.p <= 1:
            raise InputError(f"p={self.p}: expected a probability from 0 to 1.")
        if type(self.bn) is not bool:
            raise InputError(f"bn={self.bn!r}: expected True or False.")
        if self.bm not in (0, 1, 2, 3) or type(self.bm) is not int:
            raise InputError(f"bm={self.bm!r}: expected Eq. 3's setting 0, 1, 2 or 3.")
        if self.freeze not in (None, "bottom", "top"):
            raise InputError(f"freeze={self.freeze!r}: expected 'bottom', 'top' or None.")
        if self.bn_affine not in ("auto", "on", "off"):
            raise InputError(f"bn_affine={self.bn_affine!r}: expected 'auto', 'on' or 'off'.")
        if self.bn_affine == "on" and not self.bn:
            raise InputError("bn_affine='on' needs bn=True: there is no BN to scale and shift.")
        # One record for one condition, however it was written: equal ones compare equal.
        if takes_p:
            object.__setattr__(self, "p", float(self.p or 0.0))
        self.rule()  # raises if a user's class cannot be made
        if isinstance(self.updates, str):
            raise InputError(f"updates={self.updates!r}: expected several names, ('Muon',).")
        object.__setattr__(self, "updates", tuple(self.updates))
        self.plugins()
        if not self.bn or self.bn_affine == ("on" if self._affine_in_the_paper else "off"):
            object.__setattr__(self, "bn_affine", "auto")

    @property
    def _affine_in_the_paper(self) -> bool:
        """The paper's exception: learnable BN parameters only in "BN" and "BN+BM" (Sec. 3)."""
        return self.bn and self.feedback == "BP" and self.freeze is None

    @property
    def learns_bn(self) -> bool:
        """Whether BN has learnable scale and shift."""
        return self.bn_affine == "on" or (self.bn_affine == "auto" and self._affine_in_the_paper)

    @property
    def files(self) -> dict[str, str]:
        """The SHA-256 of each user's file that it names, by the path as given."""
        places = [usercode.split(split_name(name)[0]) for name in (self.feedback, *self.updates)]
        return {place[0]: usercode.load(place[0]).sha256 for place in places if place is not None}

    def rule(self, sigma: float = 0.05) -> FeedbackRule:
        """Return the feedback rule, ready to use; `sigma` is RndF's standard deviation."""
        return new_rule(self.feedback, self.p or 0.0, sigma)

    def plugins(self) -> list[Plugin]:
        """Return the plug-ins of Eq. 3, ready to use."""
        return [new_plugin(name) for name in self.updates]

    @classmethod
    def parse(cls, head: str) -> "Condition":
        """Return the condition of a column head such as "uSF+BN+BM" or "RndF Top".

        BN(affine) and BN(plain) override whether BN learns a scale and shift.
        """
        given, updates = head, []
        body, space, end = head.strip().partition(" ")
        while _is_update(body.rpartition("+")[2]):
            body, _, last = body.rpartition("+")
            updates.insert(0, last)
        if updates:
            head = f"{body or 'SGD'}{space}{end}"
        match = HEAD.fullmatch(head.strip())
        feedback = (match["feedback"] if match else None) or ""
        leftover = "+" in feedback and ".py:" not in feedback
        if not match or not head.strip() or head.strip().startswith("+") or leftover:
            raise InputError(
                f"cannot read condition {given!r}: expected a rule (SGD, uSF, frSF-25, …), then "
                "+BN, +BM or +BM2, +Muon or another update, then Bottom or Top, as in "
                "'frSF-25+BN+BM2 Bottom'."
            )
        name, p = feedback, None
        flips = re.fullmatch(r"(.+)-([0-9.]+(?:[eE][-+]?[0-9]+)?)", feedback)
        if flips:
            name, p = flips[1], _share(flips[2], head)
        return cls(
            feedback="BP" if name in ("", "SGD") else name,
            p=p,
            bn=match["bn"] is not None,
            bn_affine={"affine": "on", "plain": "off", None: "auto"}[match["affine"]],
            bm=int(match["setting"] or 1) if match["bm"] else 0,
            freeze=FREEZE.get(match["freeze"]),
            updates=tuple(updates),
        )

    def __str__(self) -> str:
        percent = f"-{(Decimal(repr(self.p)) * 100).normalize():f}" if self.p else ""
        affine = {"auto": "", "on": "(affine)", "off": "(plain)"}[self.bn_affine]
        parts = [f"{self.feedback}{percent}"] if self.feedback != "BP" else []
        parts += [f"BN{affine}"] if self.bn else []
        parts += [f"BM{self.bm if self.bm > 1 else ''}"] if self.bm else []
        parts += self.updates
        return ("+".join(parts) or "SGD") + (f" {self.freeze.capitalize()}" if self.freeze else "")


def _is_update(name: str) -> bool:
    """Return whether a part of a head names a plug-in of Eq. 3."""
    if split_name(name)[0] in PLUGINS:
        return True
    place = usercode.split(split_name(name)[0])
    if place is None:
        return False
    found = getattr(usercode.load(place[0]).module, place[1], None)
    return isinstance(found, type) and issubclass(found, Plugin)


def _share(percent: str, head: str) -> float:
    try:
        return float(Decimal(percent) / 100)
    except ArithmeticError:
        raise InputError(
            f"cannot read condition {head!r}: {percent!r} is no percentage of flipped signs, such "
            "as 25 or 2.5."
        ) from None
