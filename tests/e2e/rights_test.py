# SPDX-License-Identifier: Apache-2.0
"""Last: what all the tests before have asked of the API server."""
from hami import USER
from kit import test


def requests_of_hami(w):
    return [r for r in w.plane.audit() if r["user"]["username"] == USER and r["userAgent"].startswith("hami")]


@test("rights: in all tests the service account was refused nothing that it asked for")
def _(w):
    # An API server that has just started knows no roles yet and refuses for a moment what it grants later.
    asked = {}
    for r in requests_of_hami(w):
        what = (r["verb"], r["objectRef"]["resource"], r["objectRef"].get("subresource", ""))
        asked.setdefault(what, set()).add(r["responseStatus"]["code"])
    missing = [what for what, codes in asked.items() if 403 in codes and not codes & {200, 201}]
    assert asked and not missing, missing


@test("rights: nodes were written to by nobody but their agents, and locked where a plugin needs it")
def _(w):
    written = {(r["verb"], r["requestURI"]) for r in requests_of_hami(w) if r["verb"] not in ("get", "list", "watch")
               and r.get("objectRef", {}).get("resource") == "nodes"
               and r["objectRef"].get("name") != "theirs"}  # of deploy_test.py and missing_rights_test.py
    assert not written, sorted(written)[:10]
