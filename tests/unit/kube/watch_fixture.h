/* SPDX-License-Identifier: Apache-2.0
 *
 * A watch of pods from a fake server, and a log of what it tells.
 */
#ifndef HAMI_TESTS_WATCH_FIXTURE_H
#define HAMI_TESTS_WATCH_FIXTURE_H

#include "kube/watch.h"
#include "tests/unit/kube/fake_api.h"

/* Objects carry their name first: {"n":"a",... */
#define OBJECT(n, v) "{\"n\":\"" n "\",\"metadata\":{\"resourceVersion\":\"" v "\"}}"
#define EVENT(type, n, v) "{\"type\":\"" type "\",\"object\":" OBJECT(n, v) "}\n"
#define LIST(v, more, items)                                                                                 \
    "{\"kind\":\"PodList\",\"metadata\":{\"resourceVersion\":\"" v "\"" more "},\"items\":[" items "]}"

struct record {
    KubeWatch *watch;
    GString *log; /* "begin 1|ADDED a|synced|..." */
    unsigned begins, objects, syncs, errors;
    bool free_at_begin, free_at_object;
};

struct fixture {
    struct fake_api api;
    KubeClient *client;
    struct record record;
    unsigned resets;
    gint64 moment_us;
};

/* Back-off is 10 to 40 ms unless the options say otherwise; they may be NULL. */
void open_fixture(struct fixture *f, void (*handle)(struct fake_api *, const struct fake_request *),
                  const struct kube_watch_options *options);
void close_fixture(struct fixture *f);

#endif
