/* SPDX-License-Identifier: Apache-2.0
 *
 * The verbs of replay. Each measures one thing and prints one JSON object.
 */
#ifndef HAMI_REPLAY_VERBS_H
#define HAMI_REPLAY_VERBS_H

#include <glib.h>
#include <jansson.h>
#include <stdint.h>

struct options {
    char *extender, *api, *url, *folder, *placements;
    int count, warmup, keep, connections, binders, containers, pid, timeout_s;
    gint64 seed;
    double seconds, rate;
    gboolean all, arrivals, retry, gzip;
};

/* Each: exit status; *ret_result is printed when it is set. */
int verb_ready(const struct options *options, json_t **ret_result);
int verb_filter(const struct options *options, json_t **ret_result);
int verb_throughput(const struct options *options, json_t **ret_result);
int verb_arrive(const struct options *options, json_t **ret_result);
int verb_check(const struct options *options, json_t **ret_result);
int verb_webhook(const struct options *options, json_t **ret_result);
int verb_scrape(const struct options *options, json_t **ret_result);
int verb_writes(const struct options *options, json_t **ret_result);
int verb_certificate(const struct options *options, json_t **ret_result);

#endif
