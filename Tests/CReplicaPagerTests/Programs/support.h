// What the test programs share.

#ifndef PAGER_TEST_SUPPORT_H
#define PAGER_TEST_SUPPORT_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "replica_pager.h"

#define FAIL(...) \
    do { \
        fprintf(stderr, "%s:%d: ", __FILE__, __LINE__); \
        fprintf(stderr, __VA_ARGS__); \
        fputc('\n', stderr); \
        abort(); \
    } while (0)
#define EXPECT(condition) \
    do { \
        if (!(condition)) FAIL("not so: %s", #condition); \
    } while (0)
#define EXPECT_RC(call, expected) \
    do { \
        int rc_ = (call), expected_ = (expected); \
        if (rc_ != expected_) FAIL("%s: %d, expected %d", #call, rc_, expected_); \
    } while (0)
#define OK(call) EXPECT_RC(call, SQLITE_OK)

// Random numbers of this thread, from a seed.
void seed_random(uint64_t seed);
uint32_t below(uint32_t bound);
static inline bool one_in(uint32_t n) { return below(n) == 0; }

double now(void); // seconds
int run(sqlite3 *connection, const char *sql, ...) __attribute__((format(printf, 2, 3)));
int64_t number_of(sqlite3 *connection, const char *sql, int *rc); // the first column of the first row
uint64_t content_of(sqlite3 *connection); // a hash of the schema and all rows of all tables
bool is_sound(sqlite3 *connection);       // PRAGMA integrity_check
uint8_t *bytes_of_file(const char *path, size_t *size);
char *path_in(const char *directory, const char *name, int number); // without such a file there
void checkpoint_all(rp_database *database);                         // everything applied, and the WAL begun anew

// An entry of the log: a batch with copies of its pages.
typedef struct entry {
    uint32_t count;
    uint32_t commit_size;
    rp_page_image *pages;
    uint64_t counter; // of the program's own
} entry;

entry entry_of(rp_batch *batch);
void free_entry(entry *e);
int apply_entry(rp_database *database, const entry *e, uint64_t index);
void expect_same_file(const char *path, const char *other, const char *what);

#endif
