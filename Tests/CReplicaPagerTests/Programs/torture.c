// Three replicas in one process with one log, and terms that end at random moments with entries in flight.
//
// In a term one replica leads. Its clients run transfers between accounts, with savepoints, rollbacks, spills, DDL,
// VACUUM and TEMP tables, on overlay connections; batches are cut, committed after a while and applied; the others
// follow; readers look at committed views; a checkpointer works on all of them. Then leadership is lost: a random
// number of the batches in flight is committed by the next leader, everything after them is dropped.
//
// What must hold: the sum of the accounts in every snapshot; nothing that is read on a committed view, or whose gate
// has passed, is newer than the log; a snapshot does not move; what was acknowledged is on every replica, what was
// dropped on none; after a checkpoint the files are the same bytes, and those of a replay of the whole log; nothing was
// refused that SQLite does not try in a healthy node.

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "pager_programs.h"
#include "support.h"

#define REPLICAS 3
#define CLIENTS 3
#define ACCOUNTS 40
#define TOTAL (ACCOUNTS * 1000)
#define MAXIMUM_IN_FLIGHT 8
#define MAXIMUM_OPERATIONS (1 << 22)
#define MAXIMUM_ENTRIES (1 << 20)

static rp_database *replicas[REPLICAS];
static char *paths[REPLICAS];
static atomic_uint applied[REPLICAS]; // entries
static entry *entries;
static atomic_uint entry_count;
static atomic_ullong committed_counter; // of the newest entry in the log
static int leader;
static bool long_terms;
static atomic_bool lost;     // leadership
static atomic_bool finished; // the term, after what was left of it
static pthread_mutex_t lane = PTHREAD_MUTEX_INITIALIZER;
static uint64_t lane_counter;               // after the newest transaction on the overlay
static atomic_ullong acknowledged_sequence; // applied on the leader

// What became of each operation: a row of `ops` with its number.
enum { NOT_CAPTURED, CAPTURED, ACKNOWLEDGED };
static _Atomic uint8_t *fate;
static uint64_t *ticket; // its sequence number
static atomic_uint operations = 1;

static struct in_flight {
    rp_batch *batch;
    uint64_t counter;
} in_flight[MAXIMUM_IN_FLIGHT];
static atomic_uint cut_count, committed_count;

static struct counts {
    atomic_ullong acknowledged, dropped, unacknowledged, rolled_back, stale_snapshots, spills, schema_changes, vacuums,
        committed_reads, overlay_reads, withheld, backfills, resets, rebuilds, doomed_errors;
} counts;

static void *pointer_of(int number) { return (void *)(intptr_t)number; }

// MARK: The log

static void append(rp_batch *batch, uint64_t counter) {
    uint32_t n = atomic_load(&entry_count);
    if (n == MAXIMUM_ENTRIES) FAIL("more entries than expected");
    entries[n] = entry_of(batch);
    entries[n].counter = counter;
    // The size after a batch is what its page 1 says; without page 1, what it was before.
    const rp_page_image *first = &entries[n].pages[0];
    uint32_t size = n > 0 ? entries[n - 1].commit_size : 0;
    if (first->number == 1) {
        const uint8_t *b = (const uint8_t *)first->bytes + 28;
        size = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
    }
    EXPECT(size == entries[n].commit_size);
    atomic_store(&committed_counter, counter);
    atomic_store(&entry_count, n + 1);
}

static void catch_up(int replica, uint32_t limit) {
    while (atomic_load(&applied[replica]) < atomic_load(&entry_count) && limit-- > 0) {
        uint32_t n = atomic_load(&applied[replica]);
        OK(apply_entry(replicas[replica], &entries[n], n + 1));
        atomic_store(&applied[replica], n + 1);
    }
}

static void *cutter(void *seed) {
    seed_random((uintptr_t)seed);
    while (!lost) {
        if (cut_count - committed_count < MAXIMUM_IN_FLIGHT) {
            pthread_mutex_lock(&lane);
            rp_batch *batch = lost ? NULL : rp_cut(replicas[leader]);
            if (batch != NULL) {
                in_flight[cut_count % MAXIMUM_IN_FLIGHT] = (struct in_flight){batch, lane_counter};
                cut_count++;
            }
            pthread_mutex_unlock(&lane);
        }
        usleep(below(300));
    }
    return NULL;
}

static void *committer(void *seed) {
    seed_random((uintptr_t)seed);
    while (!lost) {
        usleep(below(1500));
        for (uint32_t k = below(3) + 1; k > 0 && committed_count < cut_count && !lost; k--) {
            struct in_flight *next = &in_flight[committed_count % MAXIMUM_IN_FLIGHT];
            append(next->batch, next->counter);
            OK(rp_apply_batch(replicas[leader], next->batch, atomic_load(&entry_count)));
            atomic_store(&applied[leader], atomic_load(&entry_count));
            atomic_store(&acknowledged_sequence, rp_batch_last_sequence(next->batch));
            rp_batch_release(next->batch);
            committed_count++;
        }
    }
    return NULL;
}

static void *followers(void *seed) {
    seed_random((uintptr_t)seed);
    while (!finished) {
        for (int i = 0; i < REPLICAS; i++) {
            if (i != leader) catch_up(i, below(4));
        }
        usleep(below(1000));
    }
    return NULL;
}

// MARK: Checkpoints

static void backfill_some(int i) {
    uint32_t durable = atomic_load(&applied[i]);
    if (one_in(3)) durable -= below(5) < durable ? below(5) : 0;
    if (durable > atomic_load(&applied[i])) durable = 0;
    uint64_t reached = 0;
    int rc = rp_backfill_begin(replicas[i], durable, &reached);
    if (rc == SQLITE_DONE || rc == SQLITE_BUSY) return;
    OK(rc);
    if (reached > durable) FAIL("backfill reaches %lu, durable is %u", (unsigned long)reached, durable);
    if (one_in(4)) usleep(below(2000)); // the intent is made durable
    OK(rp_backfill_run(replicas[i]));
    if (one_in(4)) usleep(below(2000));
    rp_backfill_end(replicas[i], !one_in(8)); // or its done record could not be written
    counts.backfills++;
}

static void *checkpointer(void *seed) {
    seed_random((uintptr_t)seed);
    while (!finished) {
        usleep(below(4000));
        int i = (int)below(REPLICAS);
        backfill_some(i);
        if (one_in(2)) rp_shed(replicas[i]);
        if (one_in(2) && rp_reset(replicas[i], 300) == SQLITE_OK) counts.resets++;
        if (lost || one_in(2)) continue;
        pthread_mutex_lock(&lane);
        if (!lost && rp_overlay_rebuild(replicas[leader]) == SQLITE_OK) counts.rebuilds++;
        pthread_mutex_unlock(&lane);
    }
    return NULL;
}

// MARK: Readers of a committed view

static void *reader(void *number) {
    int replica = number == NULL ? leader : (leader + 1 + (int)below(REPLICAS - 1)) % REPLICAS;
    seed_random((uintptr_t)number * 77 + operations);
    sqlite3 *connection;
    OK(rp_connection_open(replicas[replica], RP_COMMITTED, &connection));
    int64_t last = -1;
    while (!finished) {
        sqlite3_stmt *statement;
        const char *sql = "SELECT sum(b), (SELECT v FROM meta), count(*) FROM acc";
        OK(sqlite3_prepare_v2(connection, sql, -1, &statement, NULL));
        bool slow = one_in(10);
        if (slow) OK(run(connection, "PRAGMA cache_size=%d; BEGIN", one_in(2) ? 4 : 100));
        EXPECT_RC(sqlite3_step(statement), SQLITE_ROW);
        int64_t sum = sqlite3_column_int64(statement, 0), counter = sqlite3_column_int64(statement, 1);
        int64_t accounts = sqlite3_column_int64(statement, 2);
        sqlite3_reset(statement);
        if (sum != TOTAL || accounts != ACCOUNTS) FAIL("committed view: sum %ld of %ld", (long)sum, (long)accounts);
        if (counter < last) FAIL("committed view went back from %ld to %ld", (long)last, (long)counter);
        uint64_t limit = atomic_load(&committed_counter);
        if ((uint64_t)counter > limit) {
            FAIL("uncommitted data: %ld, committed %lu", (long)counter, (unsigned long)limit);
        }
        last = counter;
        if (slow) {
            usleep(below(long_terms ? 30000 : 8000));
            EXPECT_RC(sqlite3_step(statement), SQLITE_ROW);
            if (sqlite3_column_int64(statement, 0) != sum || sqlite3_column_int64(statement, 1) != counter) {
                FAIL("a committed snapshot moved");
            }
            sqlite3_reset(statement);
            if (one_in(4) && !is_sound(connection)) FAIL("a committed snapshot is damaged");
            OK(run(connection, "COMMIT"));
        }
        sqlite3_finalize(statement);
        counts.committed_reads++;
    }
    OK(sqlite3_close(connection));
    return NULL;
}

// MARK: Clients

// Waits until what the overlay showed is committed; false: it never will be.
static bool wait_for(uint64_t sequence) {
    while (atomic_load(&acknowledged_sequence) < sequence) {
        if (lost) return atomic_load(&acknowledged_sequence) >= sequence;
        usleep(50);
    }
    return true;
}

// Whether the statement is over because leadership is; anything else that is wrong ends the program.
static bool ended(int rc, sqlite3 *connection, const char *what) {
    if (rc == SQLITE_OK) return false;
    if (!lost) FAIL("%s: %d %s", what, sqlite3_extended_errcode(connection), sqlite3_errmsg(connection));
    counts.doomed_errors++;
    return true;
}

// A deferred transaction: reads, gates its answer, looks again later, and tries to write. Returns whether it may go on,
// with the lane taken.
static bool begin_with_a_read(sqlite3 *connection) {
    int rc;
    if (long_terms) run(connection, "PRAGMA cache_size=4");
    if (ended(run(connection, "BEGIN"), connection, "BEGIN")) return false;
    int64_t sum = number_of(connection, "SELECT sum(b) FROM acc", &rc);
    if (ended(rc, connection, "sum")) return false;
    if (sum != TOTAL) FAIL("overlay: sum %ld", (long)sum);
    int64_t counter = number_of(connection, "SELECT v FROM meta", &rc);
    if (ended(rc, connection, "counter")) return false;
    counts.overlay_reads++;
    uint64_t gate;
    rc = rp_connection_gate(connection, &gate);
    if (rc == RP_NOT_LEADER) return false;
    OK(rc);
    if (wait_for(gate)) {
        uint64_t limit = atomic_load(&committed_counter);
        if ((uint64_t)counter > limit) FAIL("gate let %ld through, committed %lu", (long)counter, (unsigned long)limit);
    } else {
        counts.withheld++;
        return false;
    }
    usleep(long_terms ? below(30000) : below(1000));
    if (long_terms) {
        bool sound = is_sound(connection);
        if (!lost && !sound) FAIL("an overlay's snapshot is damaged");
    }
    sum = number_of(connection, "SELECT sum(b) FROM acc", &rc);
    if (rc == SQLITE_OK && sum != TOTAL) FAIL("an overlay's snapshot moved: sum %ld", (long)sum);
    int64_t again = number_of(connection, "SELECT v FROM meta", &rc);
    if (rc == SQLITE_OK && again != counter) {
        FAIL("an overlay's snapshot moved: %ld, was %ld", (long)again, (long)counter);
    }
    pthread_mutex_lock(&lane);
    rc = lost ? SQLITE_BUSY : run(connection, "UPDATE acc SET b=b WHERE id=1");
    if (rc == SQLITE_OK) return true;
    if (rc == SQLITE_BUSY_SNAPSHOT) {
        counts.stale_snapshots++;
    } else if (!lost) {
        FAIL("first write: %d %s", rc, sqlite3_errmsg(connection));
    }
    pthread_mutex_unlock(&lane);
    return false;
}

static int change_schema(sqlite3 *connection, uint32_t number) {
    uint32_t k = below(5);
    int rc;
    char *sql = sqlite3_mprintf("SELECT count(*) FROM sqlite_schema WHERE name='s_%u'", k);
    int64_t exists = number_of(connection, sql, &rc);
    sqlite3_free(sql);
    if (rc != SQLITE_OK) return rc;
    counts.schema_changes++;
    if (!exists) {
        return run(connection, "CREATE TABLE s_%u(id INTEGER PRIMARY KEY, z UNIQUE%s)", k, one_in(2) ? ", c" : "");
    }
    if (one_in(2)) return run(connection, "DROP TABLE s_%u", k);
    return run(connection, "ALTER TABLE s_%u ADD COLUMN x%u", k, number);
}

// Enough to spill a cache of four pages, with pages that are spilled twice and rolled back.
static int fill_and_spill(sqlite3 *connection) {
    counts.spills++;
    return run(
        connection,
        "PRAGMA cache_size=4; DELETE FROM big WHERE id%%7=%u;"
        "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c WHERE i<120)"
        " INSERT INTO big(p) SELECT randomblob(300+i) FROM c;"
        "UPDATE big SET p=randomblob(200) WHERE id%%3=0; SAVEPOINT q; UPDATE big SET p=randomblob(400) WHERE id%%5=0;"
        "%s; RELEASE q; UPDATE big SET p=randomblob(300) WHERE id%%4=1;"
        "DELETE FROM big WHERE id<(SELECT max(id)-400 FROM big); PRAGMA cache_size=%d",
        below(7), one_in(2) ? "ROLLBACK TO q" : "SELECT 1", one_in(2) ? 4 : 100);
}

// What a transaction does besides its transfer.
static int more_work(sqlite3 *connection, uint32_t number) {
    uint32_t kind = below(12);
    if (kind == 0) {
        return run(
            connection,
            "SAVEPOINT a; UPDATE acc SET b=b+7; SAVEPOINT b; INSERT INTO ops VALUES(-%u); ROLLBACK TO b; RELEASE b;"
            "ROLLBACK TO a; RELEASE a", number);
    }
    if (kind == 1) return fill_and_spill(connection);
    if (kind == 2 || kind == 3) return change_schema(connection, number);
    if (kind == 4) return run(connection, "CREATE TEMP TABLE IF NOT EXISTS tt(a); INSERT INTO tt SELECT b FROM acc");
    if (kind < 8) {
        int rc = run(connection, "INSERT OR IGNORE INTO s_%u(z) VALUES(%u)", below(5), below(100000));
        return rc == SQLITE_ERROR ? SQLITE_OK : rc; // no such table
    }
    if (kind == 8) usleep(below(3000));
    return SQLITE_OK;
}

// Inside a write transaction, with the lane: a transfer, more work, and an end. Returns the operation's number if it
// was captured, else 0.
static uint32_t transfer(sqlite3 *connection) {
    uint32_t number = operations++;
    if (number >= MAXIMUM_OPERATIONS) FAIL("more operations than expected");
    uint32_t amount = below(50);
    int rc = run(
        connection,
        "UPDATE acc SET b=b-%u WHERE id=%u; UPDATE acc SET b=b+%u WHERE id=%u; UPDATE meta SET v=v+1;"
        "INSERT INTO ops VALUES(%u)",
        amount, 1 + below(ACCOUNTS), amount, 1 + below(ACCOUNTS), number);
    if (ended(rc, connection, "transfer")) return 0;
    if (ended(more_work(connection, number), connection, "more work")) return 0;
    if (one_in(8)) {
        counts.rolled_back++;
        run(connection, "ROLLBACK");
        return 0;
    }
    int64_t counter = number_of(connection, "SELECT v FROM meta", &rc);
    if (ended(rc, connection, "counter")) return 0;
    if (ended(run(connection, "COMMIT"), connection, "COMMIT")) return 0;
    uint64_t gate;
    if (rp_connection_gate(connection, &gate) != SQLITE_OK) return 0;
    ticket[number] = gate;
    atomic_store(&fate[number], CAPTURED);
    lane_counter = (uint64_t)counter;
    return number;
}

static void *client(void *seed) {
    seed_random((uintptr_t)seed);
    sqlite3 *connection;
    int rc = rp_connection_open(replicas[leader], RP_OVERLAY, &connection);
    if (lost && rc != SQLITE_OK) return NULL;
    OK(rc);
    while (!lost) {
        if (!sqlite3_get_autocommit(connection)) run(connection, "ROLLBACK");
        uint32_t kind = below(100);
        if (one_in(long_terms ? 4 : 12)) {
            kind = 100;
            if (!begin_with_a_read(connection)) continue;
        } else {
            pthread_mutex_lock(&lane);
            if (lost) {
                pthread_mutex_unlock(&lane);
                break;
            }
            rc = SQLITE_OK;
            if (kind < 4) {
                rc = run(connection, "VACUUM");
                counts.vacuums++;
            } else if (kind < 8) {
                rc = run(connection, "INSERT OR ROLLBACK INTO meta(id, v) VALUES(1, 5)") & 0xff;
                if (rc == SQLITE_CONSTRAINT) rc = SQLITE_OK;
            }
            if (kind >= 8) rc = run(connection, "BEGIN IMMEDIATE");
            if (ended(rc, connection, "statement") || kind < 8) {
                pthread_mutex_unlock(&lane);
                continue;
            }
        }
        uint32_t number = transfer(connection);
        pthread_mutex_unlock(&lane);
        if (number != 0 && !one_in(4) && wait_for(ticket[number])) {
            atomic_store(&fate[number], ACKNOWLEDGED);
            counts.acknowledged++;
        }
    }
    if (!sqlite3_get_autocommit(connection)) run(connection, "ROLLBACK");
    OK(sqlite3_close(connection));
    return NULL;
}

// MARK: A term

static uint32_t oldest_unchecked = 1;

// Rows of `ops` are exactly the operations of this term up to the last sequence number that was committed.
static void check_operations(int replica, sqlite3 *connection, uint64_t last_sequence) {
    sqlite3_stmt *statement;
    OK(sqlite3_prepare_v2(connection, "SELECT id FROM ops WHERE id>=? ORDER BY id", -1, &statement, NULL));
    sqlite3_bind_int64(statement, 1, oldest_unchecked);
    uint32_t next = oldest_unchecked;
    for (;;) {
        int rc = sqlite3_step(statement);
        uint32_t present = rc == SQLITE_ROW ? (uint32_t)sqlite3_column_int64(statement, 0) : atomic_load(&operations);
        if (rc != SQLITE_ROW) EXPECT_RC(rc, SQLITE_DONE);
        for (; next < present; next++) {
            if (fate[next] == ACKNOWLEDGED) FAIL("operation %u, acknowledged, is not on replica %d", next, replica);
            bool is_committed = fate[next] == CAPTURED && ticket[next] <= last_sequence;
            if (is_committed) FAIL("operation %u, committed, is missing", next);
            if (replica == 0 && fate[next] == CAPTURED) counts.dropped++;
        }
        if (rc == SQLITE_DONE) break;
        if (fate[present] == NOT_CAPTURED || ticket[present] > last_sequence) {
            FAIL("operation %u, dropped, is on replica %d", present, replica);
        }
        if (replica == 0 && fate[present] == CAPTURED) counts.unacknowledged++;
        next = present + 1;
    }
    sqlite3_finalize(statement);
}

static void check_replicas(uint64_t last_sequence) {
    uint64_t content = 0;
    for (int i = 0; i < REPLICAS; i++) {
        sqlite3 *connection;
        int rc, rc2;
        OK(rp_connection_open(replicas[i], RP_COMMITTED, &connection));
        check_operations(i, connection, last_sequence);
        EXPECT(number_of(connection, "SELECT sum(b) FROM acc", &rc) == TOTAL);
        int64_t counter = number_of(connection, "SELECT v FROM meta", &rc);
        EXPECT(counter == number_of(connection, "SELECT count(*) FROM ops", &rc2));
        uint64_t own = content_of(connection);
        if (i == 0) content = own;
        if (own != content) FAIL("replica %d has other content", i);
        OK(sqlite3_close(connection));
        checkpoint_all(replicas[i]);
        if (i > 0) expect_same_file(paths[0], paths[i], "replicas");
    }
    oldest_unchecked = operations;

    // The file, as SQLite sees it without us. Immutable: it takes no locks.
    char *uri = sqlite3_mprintf("file:%s?immutable=1", paths[below(REPLICAS)]);
    sqlite3 *plain;
    OK(sqlite3_open_v2(uri, &plain, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL));
    EXPECT(is_sound(plain) && content_of(plain) == content);
    OK(sqlite3_close(plain));
    sqlite3_free(uri);
}

static void one_term(uint64_t term) {
    leader = (int)below(REPLICAS);
    lost = finished = false;
    cut_count = committed_count = 0;
    lane_counter = committed_counter;
    rp_statistics statistics;
    rp_get_statistics(replicas[leader], &statistics);
    uint64_t last_sequence = statistics.captured_sequence;
    atomic_store(&acknowledged_sequence, last_sequence);
    OK(rp_overlay_begin(replicas[leader], term));

    pthread_t workers[2 + CLIENTS], others[4];
    int count = 0, other_count = 0;
    pthread_create(&workers[count++], NULL, cutter, pointer_of((int)below(1 << 30)));
    pthread_create(&workers[count++], NULL, committer, pointer_of((int)below(1 << 30)));
    for (int i = 0; i < CLIENTS; i++) pthread_create(&workers[count++], NULL, client, pointer_of((int)below(1 << 30)));
    pthread_create(&others[other_count++], NULL, followers, pointer_of((int)below(1 << 30)));
    pthread_create(&others[other_count++], NULL, checkpointer, pointer_of((int)below(1 << 30)));
    for (int i = 0; i < 2; i++) pthread_create(&others[other_count++], NULL, reader, pointer_of(i));
    usleep(long_terms ? 50000 + below(150000) : 3000 + below(40000));
    lost = true;

    // Sometimes the overlay is doomed under its clients, and foreign entries come before they are gone.
    bool early = one_in(2);
    if (early) rp_overlay_doom(replicas[leader]);
    pthread_join(workers[0], NULL);
    pthread_join(workers[1], NULL);
    uint32_t left = cut_count - committed_count, kept = below(left + 1);
    if (acknowledged_sequence > last_sequence) last_sequence = acknowledged_sequence;
    for (uint32_t i = 0; i < left; i++) {
        struct in_flight *next = &in_flight[(committed_count + i) % MAXIMUM_IN_FLIGHT];
        if (i < kept) {
            append(next->batch, next->counter);
            last_sequence = rp_batch_last_sequence(next->batch);
        }
        rp_batch_release(next->batch);
    }
    if (early) catch_up(leader, UINT32_MAX);
    for (int i = 2; i < count; i++) pthread_join(workers[i], NULL);
    rp_overlay_doom(replicas[leader]);
    catch_up(leader, UINT32_MAX);
    usleep(below(3000));
    finished = true;
    for (int i = 0; i < other_count; i++) pthread_join(others[i], NULL);
    for (int i = 0; i < REPLICAS; i++) catch_up(i, UINT32_MAX);
    check_replicas(last_sequence);
}

// The first entry: the schema, and the accounts.
static void found(void) {
    leader = 0;
    OK(rp_overlay_begin(replicas[0], 0));
    sqlite3 *connection;
    OK(rp_connection_open(replicas[0], RP_OVERLAY, &connection));
    OK(run(
        connection,
        "BEGIN; CREATE TABLE acc(id INTEGER PRIMARY KEY, b INT);"
        "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c WHERE i<%d) INSERT INTO acc SELECT i,1000 FROM c;"
        "CREATE TABLE meta(id INTEGER PRIMARY KEY, v); INSERT INTO meta VALUES(1,0);"
        "CREATE TABLE ops(id INTEGER PRIMARY KEY); CREATE TABLE big(id INTEGER PRIMARY KEY, p); COMMIT", ACCOUNTS));
    OK(sqlite3_close(connection));
    rp_batch *batch = rp_cut(replicas[0]);
    append(batch, 0);
    rp_batch_release(batch);
    rp_overlay_doom(replicas[0]);
    for (int i = 0; i < REPLICAS; i++) catch_up(i, 1);
}

static void check_replay(const char *directory) {
    char *path = path_in(directory, "replay", 0);
    rp_database *database;
    OK(rp_open(path, NULL, &database));
    for (uint32_t i = 0; i < entry_count; i++) OK(apply_entry(database, &entries[i], i + 1));
    checkpoint_all(database);
    OK(rp_close(database));
    expect_same_file(path, paths[0], "replay of the log");
    unlink(path);
    free(path);
}

int pager_torture(const char *directory, unsigned seed, int terms, int style) {
    seed_random(seed);
    long_terms = style == 1;
    fate = calloc(MAXIMUM_OPERATIONS, sizeof *fate);
    ticket = calloc(MAXIMUM_OPERATIONS, sizeof *ticket);
    entries = calloc(MAXIMUM_ENTRIES, sizeof *entries);
    memset(&counts, 0, sizeof counts);
    entry_count = 0;
    committed_counter = 0;
    operations = oldest_unchecked = 1;
    for (int i = 0; i < REPLICAS; i++) {
        applied[i] = 0;
        paths[i] = path_in(directory, "torture", i);
        OK(rp_open(paths[i], NULL, &replicas[i]));
    }
    found();
    double began = now();
    for (int term = 1; term <= terms; term++) one_term((uint64_t)term);
    check_replay(directory);
    for (int i = 0; i < REPLICAS; i++) {
        rp_statistics statistics;
        rp_get_statistics(replicas[i], &statistics);
        EXPECT(statistics.refused_recoveries == 0 && statistics.refused_frame_writes == 0);
        if (statistics.page_buffers != 0) FAIL("%lu pages are left", (unsigned long)statistics.page_buffers);
        OK(rp_close(replicas[i]));
        unlink(paths[i]);
        free(paths[i]);
    }
    printf(
        "torture: seed %u, %d terms%s, %.1f s: %u operations, %llu acknowledged, %llu dropped, %llu committed without"
        " acknowledgement, %llu rolled back; %u entries; %llu committed reads, %llu overlay reads, %llu withheld, %llu"
        " stale snapshots; %llu spills, %llu schema changes, %llu VACUUMs; %llu backfills, %llu resets, %llu rebuilds;"
        " %llu errors after doom\n",
        seed, terms, long_terms ? " (long)" : "", now() - began, operations - 1, counts.acknowledged, counts.dropped,
        counts.unacknowledged, counts.rolled_back, entry_count, counts.committed_reads, counts.overlay_reads,
        counts.withheld, counts.stale_snapshots, counts.spills, counts.schema_changes, counts.vacuums, counts.backfills,
        counts.resets, counts.rebuilds, counts.doomed_errors);
    for (uint32_t i = 0; i < entry_count; i++) free_entry(&entries[i]);
    free(entries);
    free(ticket);
    free((void *)fate);
    return 0;
}
