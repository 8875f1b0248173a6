// Each single allocation of the pager fails once, in a small life of a leader and a follower. Whatever fails may be
// tried again; what was acknowledged is there in the end, on both.
//
// The program is linked with `--wrap` for malloc, calloc and realloc, which catches our calls and not SQLite's.

#include <string.h>
#include <unistd.h>

#include "pager_programs.h"
#include "support.h"

#ifdef PAGER_WRAPS_ALLOCATIONS

static bool armed;
static long countdown; // allocations until one fails; below 0: it has
static long failures;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);

static bool fails(void) {
    if (!armed || countdown < 0) return false;
    if (countdown-- > 0) return false;
    failures++;
    return true;
}

void *__wrap_malloc(size_t size) { return fails() ? NULL : __real_malloc(size); }
void *__wrap_calloc(size_t count, size_t size) { return fails() ? NULL : __real_calloc(count, size); }
void *__wrap_realloc(void *old, size_t size) { return fails() ? NULL : __real_realloc(old, size); }

#define WITH_FAILURE(result, call) \
    do { \
        armed = true; \
        result = (call); \
        armed = false; \
    } while (0)

static bool is_memory(int rc) { return (rc & 0xff) == SQLITE_NOMEM || rc == SQLITE_IOERR_NOMEM; }

// Again, once, if memory was short.
#define RETRIED(call) \
    do { \
        int rc_; \
        WITH_FAILURE(rc_, call); \
        if (is_memory(rc_)) WITH_FAILURE(rc_, call); \
        if (rc_ != SQLITE_OK) FAIL("%s: %d", #call, rc_); \
    } while (0)

// Returns the number of rows that were acknowledged.
static int one_life(const char *directory) {
    char *path = path_in(directory, "memory", 0), *other = path_in(directory, "memory", 1);
    rp_database *leader, *follower;
    RETRIED(rp_open(path, NULL, &leader));
    RETRIED(rp_open(other, NULL, &follower));
    sqlite3 *connection = NULL;
    uint64_t index = 0, term = 0;
    int acknowledged = 0, present = 0;
    for (int i = 0; i < 30; i++) {
        if (connection == NULL) {
            RETRIED(rp_overlay_begin(leader, ++term));
            RETRIED(rp_connection_open(leader, RP_OVERLAY, &connection));
        }
        int rc;
        uint64_t gate;
        const char *sql = "CREATE TABLE IF NOT EXISTS t(a, b); INSERT INTO t VALUES(%d, zeroblob(%d))";
        WITH_FAILURE(rc, run(connection, sql, i, i % 5 == 0 ? 20000 : 10));
        if (rc != SQLITE_OK && !is_memory(rc) && rc != RP_NOT_LEADER) FAIL("insert: %d", rc);
        bool is_captured = rp_connection_gate(connection, &gate) == SQLITE_OK;
        rp_batch *batch;
        WITH_FAILURE(batch, rp_cut(leader));
        if (batch != NULL) {
            entry e = entry_of(batch);
            index++;
            RETRIED(rp_apply_batch(leader, batch, index));
            RETRIED(rp_apply(follower, index, e.count, e.pages, 0));
            rp_batch_release(batch);
            free_entry(&e);
        }
        if (rc == SQLITE_OK && is_captured) acknowledged++;
        if (!is_captured || i % 11 == 10) { // doomed: for want of memory, or by us
            OK(sqlite3_close(connection));
            connection = NULL;
            rp_overlay_doom(leader);
            continue;
        }
        if (i % 4 == 3) {
            WITH_FAILURE(rc, rp_overlay_rebuild(leader));
            EXPECT(rc == SQLITE_OK || is_memory(rc));
        }
        if (i % 7 == 6) {
            uint64_t reached;
            WITH_FAILURE(rc, rp_backfill_begin(leader, UINT64_MAX, &reached));
            if (rc == SQLITE_DONE) continue;
            OK(rc);
            WITH_FAILURE(rc, rp_backfill_run(leader));
            EXPECT(rc == SQLITE_OK || is_memory(rc));
            rp_backfill_end(leader, rc == SQLITE_OK);
            WITH_FAILURE(rc, rp_reset(leader, 0));
        }
    }
    if (connection != NULL) OK(sqlite3_close(connection));
    rp_overlay_doom(leader);
    uint64_t contents[2];
    for (int i = 0; i < 2; i++) {
        int rc;
        OK(rp_connection_open(i == 0 ? leader : follower, RP_COMMITTED, &connection));
        contents[i] = content_of(connection);
        present = (int)number_of(connection, "SELECT count(*) FROM t", &rc);
        EXPECT(is_sound(connection));
        OK(sqlite3_close(connection));
        checkpoint_all(i == 0 ? leader : follower);
    }
    EXPECT(contents[0] == contents[1] && present >= acknowledged);
    expect_same_file(path, other, "leader and follower");
    rp_statistics statistics;
    rp_get_statistics(leader, &statistics);
    EXPECT(statistics.page_buffers == 0);
    OK(rp_close(leader));
    OK(rp_close(follower));
    unlink(path), unlink(other);
    free(path), free(other);
    return acknowledged;
}

int pager_out_of_memory(const char *directory) {
    int fewest = 30;
    for (long n = 0;; n++) {
        countdown = n;
        int acknowledged = one_life(directory);
        if (acknowledged < fewest) fewest = acknowledged;
        if (countdown >= 0) break; // there are no more
    }
    printf("out of memory: %ld allocations failed in turn; at least %d of 30 statements succeeded beside one\n",
           failures, fewest);
    return 0;
}

#else

int pager_out_of_memory(const char *directory) {
    (void)directory;
    printf("out of memory: not linked with wrapped allocations\n");
    return 0;
}

#endif
