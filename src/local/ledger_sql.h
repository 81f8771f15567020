/* SPDX-License-Identifier: Apache-2.0
 *
 * Between ledger.c and ledger_rows.c: statements and their errors.
 */
#ifndef HAMI_LOCAL_LEDGER_SQL_H
#define HAMI_LOCAL_LEDGER_SQL_H

#include <sqlite3.h>

#include "local/ledger.h"

struct ledger {
    sqlite3 *db;
    char *path;
    int lock_fd;
    bool in_transaction;
    bool full; /* what failed last did so for want of room */
};

typedef sqlite3_stmt Statement;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Statement, sqlite3_finalize)

/* Prepares and binds; `types` has one letter per argument: s const char *,
 * i int64_t. NULL on error. */
Statement *ledger_query(struct ledger *l, GError **error, const char *sql, const char *types, ...);

/* Runs a statement to its end, results ignored. Takes it. */
bool ledger_run(struct ledger *l, Statement *statement, GError **error);

/* One step: 1 a row, 0 the end, -1 error. */
int ledger_step(struct ledger *l, Statement *statement, GError **error);

/* Copies a text column into a fixed-size field; words are what others wrote, for
 * people to read: printable. */
void ledger_text(Statement *statement, int column, char *ret, size_t size);
void ledger_words(Statement *statement, int column, char *ret, size_t size);

#endif
