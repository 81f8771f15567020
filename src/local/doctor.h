/* SPDX-License-Identifier: Apache-2.0
 *
 * Is isolation in effect, and if not, why. Findings are the rows of
 * contract/findings.def.
 */
#ifndef HAMI_LOCAL_DOCTOR_H
#define HAMI_LOCAL_DOCTOR_H

#include "local/broker.h"

enum doctor_finding {
#define FINDING(symbol, severity, text, remedy) DOCTOR_##symbol,
#include "findings.def"
#undef FINDING
    DOCTOR_FINDINGS
};

enum doctor_severity { DOCTOR_NOTE, DOCTOR_WARNING, DOCTOR_PROBLEM };

struct doctor_words {
    const char *name; /* lower case */
    enum doctor_severity severity;
    const char *text;
    const char *remedy;
};
const struct doctor_words *doctor_words(enum doctor_finding finding);
const char *doctor_severity_name(enum doctor_severity severity);

struct doctor_row {
    enum doctor_finding finding;
    char slice[LEDGER_ID_BYTES]; /* empty = the host */
    int32_t pid;                 /* 0 = none */
    char detail[256];
};

/* Examines the host (word NULL) with all live slices, or one slice. Rows of
 * struct doctor_row; NULL and *error when the slice does not exist. */
GArray *doctor_examine(struct broker *b, const char *word, const char *machine, GError **error);

/* For doctor_slice.c. */
void doctor_add(GArray *rows, enum doctor_finding finding, const char *slice, int32_t pid, const char *format,
                ...) G_GNUC_PRINTF(5, 6);
void doctor_slice(struct broker *b, const struct ledger_slice *s, GArray *rows);

#endif
