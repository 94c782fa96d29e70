"""What may come of an input, however wrong: a right result, or an error of plkd's own; never a changed input."""

from __future__ import annotations

import linecache
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scipy import sparse

import plkd

SOURCE = str(Path(plkd.__file__).parent)
#: A message says what was expected, or what to do.
_HELPS = re.compile(
    r"[Ee]xpected|[Ff]ix:|\bpass\b|\bPass\b|[Rr]ename|[Ii]nstall|[Rr]emove|[Ll]eave|[Cc]heck |[Rr]ead it|[Ww]rite |[Uu]se |[Ww]iden|[Kk]eep |[Cc]all |[Gg]ive |must be|state the"
)
#: What plkd raises; others are Python's own, of a fault in plkd.
_RAISED = (ValueError, TypeError, KeyError, RuntimeError, OSError, ImportError)


@dataclass(frozen=True)
class Outcome:
    """``ok`` says whether it is allowed; ``text`` what it was, in one line."""

    ok: bool
    text: str


def judge(call: Callable[[], Any], check: Callable[[Any], str | None] | None = None, *inputs: Any) -> Outcome:
    """Call, and judge what comes of it.

    Parameters
    ----------
    call
        Without arguments.
    check
        Returns what is wrong with a result, or None.
    *inputs
        Must be the same afterwards.
    """
    before = [freeze(one) for one in inputs]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            result = call()
        except Exception as error:  # noqa: BLE001 - any error at all is what is judged
            outcome = judge_error(error)
        else:
            wrong = check(result) if check is not None else None
            outcome = Outcome(wrong is None, "result" if wrong is None else f"wrong result: {wrong}")
    for one, frozen in zip(inputs, before, strict=True):
        if freeze(one) != frozen:
            return Outcome(False, f"input changed ({outcome.text})")
    return outcome


def judge_error(error: BaseException) -> Outcome:
    """Judge an error by its innermost frame and by its message."""
    message = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    told = f"{type(error).__name__}: {' '.join(message.split())[:160]}"
    frames = []
    step = error.__traceback__
    while step is not None:
        frames.append((step.tb_frame.f_code.co_filename, step.tb_frame.f_code.co_name, step.tb_lineno))
        step = step.tb_next
    file, name, line = frames[-1]
    # An argument that does not exist fails where the function is called, by Python itself.
    bound = isinstance(error, TypeError) and re.search(r"\(\) (got|takes|missing)", message) is not None
    if not file.startswith(SOURCE) and not (bound and "hostile" in file):
        return Outcome(False, f"ends in {Path(file).parent.name}/{Path(file).name}:{line} {name}; {told}")
    # What Python's own operations, or compiled code, raise within plkd is no message for a user.
    statement = linecache.getline(file, line).strip()
    if not bound and not (isinstance(error, _RAISED) and statement.startswith("raise")):
        return Outcome(False, f"is not raised by plkd, {Path(file).name}:{line} `{statement[:60]}`; {told}")
    if not bound and not (len(message) > 30 and _HELPS.search(message)):
        return Outcome(False, f"says too little, {Path(file).name}:{line}; {told}")
    return Outcome(True, told)


def freeze(value: Any) -> Any:
    """Return something that is equal for equal content, and that later changes of ``value`` leave as it is."""
    if isinstance(value, AnnData):
        if value.isbacked:
            path = Path(value.filename)
            return ("backed", path.read_bytes() if path.exists() else None, freeze(value.obs))
        parts = {name: dict(getattr(value, name)) for name in ("layers", "obsm", "varm", "obsp", "uns")}
        return ("AnnData", value.is_view, freeze(value.X), freeze(value.obs), freeze(value.var), freeze(parts))
    if isinstance(value, MuData):
        return ("MuData", value.axis, freeze(dict(value.mod)), freeze(value.obs), freeze(dict(value.uns)))
    if isinstance(value, pd.DataFrame | pd.Series | pd.Index):
        frame = value.to_frame() if not isinstance(value, pd.DataFrame) else value
        columns = [[repr(one) for one in frame.iloc[:, i]] for i in range(frame.shape[1])]
        return (
            type(value).__name__,
            repr(list(frame.columns)),
            repr(list(frame.index)),
            repr(frame.dtypes.tolist()),
            columns,
        )
    if sparse.issparse(value):
        arrays = ("data", "indices", "indptr", "row", "col", "offsets")
        return (type(value).__name__, value.shape, [freeze(getattr(value, a)) for a in arrays if hasattr(value, a)])
    if isinstance(value, np.ndarray):
        content = [repr(one) for one in value.ravel()] if value.dtype == object else value.tobytes()
        return ("array", value.dtype.str, value.shape, content)
    if isinstance(value, Mapping):
        return {repr(key): freeze(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return (type(value).__name__, [freeze(one) for one in value])
    return repr(value) if isinstance(value, str | bytes | int | float | complex | type(None) | Path) else id(value)
