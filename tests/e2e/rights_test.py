# SPDX-License-Identifier: Apache-2.0
"""Last: what all the tests before have asked of the API server."""
from hami import USER
from kit import test


def requests_of_hami(w):
    return [r for r in w.plane.audit() if r["user"]["username"] == USER and r["userAgent"].startswith("hami")]


def warming_up(request):
    """An API server that has just started does not know the roles yet, and says that they do not exist."""
    return "not found" in request["responseStatus"].get("message", "") or "not found" in request.get("annotations", {}).get(
        "authorization.k8s.io/reason", "")


@test("rights: in all tests the service account was refused nothing that it asked for")
def _(w):
    refused = {(r["verb"], r["requestURI"].split("?")[0]) for r in requests_of_hami(w) if r["responseStatus"]["code"] == 403
               and not warming_up(r)}
    assert not refused, sorted(refused)[:10]


@test("rights: nodes were written to by nobody but their agents")
def _(w):
    written = {(r["verb"], r["requestURI"]) for r in requests_of_hami(w) if r["verb"] not in ("get", "list", "watch")
               and r.get("objectRef", {}).get("resource") == "nodes"}
    assert not written, sorted(written)[:10]
