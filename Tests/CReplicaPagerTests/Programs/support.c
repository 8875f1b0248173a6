#include "support.h"

#include <stdarg.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static _Thread_local uint64_t state = 88172645463325252ull;

void seed_random(uint64_t seed) {
    state = (seed + 1) * 0x9e3779b97f4a7c15ull | 1;
    for (int i = 0; i < 8; i++) below(2);
}

uint32_t below(uint32_t bound) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return bound == 0 ? 0 : (uint32_t)(state >> 20) % bound;
}

double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

int run(sqlite3 *connection, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    char *sql = sqlite3_vmprintf(format, arguments);
    va_end(arguments);
    if (sql == NULL) return SQLITE_NOMEM;
    int rc = sqlite3_exec(connection, sql, NULL, NULL, NULL);
    sqlite3_free(sql);
    return rc;
}

int64_t number_of(sqlite3 *connection, const char *sql, int *rc) {
    sqlite3_stmt *statement = NULL;
    int64_t value = -1;
    *rc = sqlite3_prepare_v2(connection, sql, -1, &statement, NULL);
    if (*rc != SQLITE_OK) return value;
    if (sqlite3_step(statement) == SQLITE_ROW) value = sqlite3_column_int64(statement, 0);
    *rc = sqlite3_finalize(statement);
    return value;
}

static uint64_t mix(uint64_t hash, const void *bytes, int count) {
    const uint8_t *p = bytes;
    for (int i = 0; i < count; i++) hash = (hash ^ p[i]) * 1099511628211ull;
    return hash * 31 + (uint64_t)count;
}

static uint64_t mix_rows(sqlite3 *connection, uint64_t hash, const char *sql) {
    sqlite3_stmt *statement = NULL;
    OK(sqlite3_prepare_v2(connection, sql, -1, &statement, NULL));
    while (sqlite3_step(statement) == SQLITE_ROW) {
        for (int i = 0; i < sqlite3_column_count(statement); i++) {
            const void *bytes = sqlite3_column_blob(statement, i);
            hash = mix(hash, bytes, sqlite3_column_bytes(statement, i));
        }
    }
    OK(sqlite3_finalize(statement));
    return hash;
}

uint64_t content_of(sqlite3 *connection) {
    uint64_t hash = mix_rows(connection, 1469598103934665603ull, "SELECT * FROM sqlite_schema ORDER BY rowid");
    sqlite3_stmt *tables = NULL;
    const char *names = "SELECT name FROM sqlite_schema WHERE type='table' ORDER BY 1";
    OK(sqlite3_prepare_v2(connection, names, -1, &tables, NULL));
    while (sqlite3_step(tables) == SQLITE_ROW) {
        char *sql = sqlite3_mprintf("SELECT * FROM \"%w\"", sqlite3_column_text(tables, 0));
        hash = mix_rows(connection, hash, sql);
        sqlite3_free(sql);
    }
    OK(sqlite3_finalize(tables));
    return hash;
}

bool is_sound(sqlite3 *connection) {
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(connection, "PRAGMA integrity_check", -1, &statement, NULL) != SQLITE_OK) return false;
    bool sound = sqlite3_step(statement) == SQLITE_ROW;
    sound = sound && strcmp((const char *)sqlite3_column_text(statement, 0), "ok") == 0;
    return sqlite3_finalize(statement) == SQLITE_OK && sound;
}

uint8_t *bytes_of_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) FAIL("cannot open %s", path);
    fseek(file, 0, SEEK_END);
    *size = (size_t)ftell(file);
    rewind(file);
    uint8_t *bytes = malloc(*size + 1);
    if (fread(bytes, 1, *size, file) != *size) FAIL("cannot read %s", path);
    fclose(file);
    return bytes;
}

char *path_in(const char *directory, const char *name, int number) {
    size_t size = strlen(directory) + strlen(name) + 20;
    char *path = calloc(1, size);
    EXPECT(path != NULL);
    snprintf(path, size, "%s/%s-%d.db", directory, name, number);
    unlink(path);
    return path;
}

void checkpoint_all(rp_database *database) {
    uint64_t index;
    int rc = rp_backfill_begin(database, UINT64_MAX, &index);
    if (rc == SQLITE_OK) {
        OK(rp_backfill_run(database));
        rp_backfill_end(database, true);
    } else if (rc != SQLITE_DONE) {
        FAIL("backfill: %d", rc);
    }
    OK(rp_reset(database, 100000));
}

entry entry_of(rp_batch *batch) {
    entry e = {.count = rp_batch_count(batch), .commit_size = rp_batch_commit_size(batch)};
    e.pages = malloc(e.count * sizeof *e.pages);
    for (uint32_t i = 0; i < e.count; i++) {
        rp_page_image page = rp_batch_page(batch, i);
        void *bytes = malloc(RP_PAGE_SIZE);
        memcpy(bytes, page.bytes, RP_PAGE_SIZE);
        e.pages[i] = (rp_page_image){page.number, bytes};
        EXPECT(page.number > 0 && page.number <= e.commit_size);
        EXPECT(i == 0 || page.number > e.pages[i - 1].number);
    }
    return e;
}

void free_entry(entry *e) {
    for (uint32_t i = 0; i < e->count; i++) free((void *)e->pages[i].bytes);
    free(e->pages);
}

int apply_entry(rp_database *database, const entry *e, uint64_t index) {
    // Both ways of giving the size mean the same.
    return rp_apply(database, index, e->count, e->pages, index % 2 == 0 ? e->commit_size : 0);
}

void expect_same_file(const char *path, const char *other, const char *what) {
    size_t size = 0, other_size = 0;
    uint8_t *bytes = bytes_of_file(path, &size), *others = bytes_of_file(other, &other_size);
    if (size != other_size) FAIL("%s: sizes %zu and %zu", what, size, other_size);
    for (size_t at = 0; at < size; at += RP_PAGE_SIZE) {
        bool same = memcmp(bytes + at, others + at, RP_PAGE_SIZE) == 0;
        if (!same) FAIL("%s: page %zu differs", what, at / RP_PAGE_SIZE + 1);
    }
    free(bytes);
    free(others);
}
