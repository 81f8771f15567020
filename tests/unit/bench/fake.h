/* SPDX-License-Identifier: Apache-2.0
 *
 * The fake API server for tests: started, asked and ended. Every failure ends
 * the test program with what was answered.
 */
#ifndef HAMI_TESTS_FAKE_H
#define HAMI_TESTS_FAKE_H

#include <glib.h>
#include <jansson.h>

#include "bench/control/http.h"

struct fake {
    GPid pid;
    char url[64];
    struct http http;
};

/* Starts the program that HAMI_FAKE_APISERVER names; further arguments up to NULL. Ready when it returns. */
void fake_start(struct fake *fake, ...) G_GNUC_NULL_TERMINATED;
/* The same for the extender that HAMI_FIRST_FIT names. */
void fake_start_extender(struct fake *fake, const char *kubeconfig);
/* Ends it; it must end well. */
void fake_stop(struct fake *fake);

/* The reply of a call that must have this status. The caller frees. */
json_t *fake_call(struct fake *fake, int code, const char *method, const char *path, const char *type,
                  const char *body);
void fake_done(struct fake *fake, int code, const char *method, const char *path, const char *type,
               const char *body);

/* Walks names and numbers separated by '/', borrowed; "" when there is no text. */
const char *fake_text_at(json_t *object, const char *path);
const char *fake_annotation(json_t *object, const char *key);

#endif
