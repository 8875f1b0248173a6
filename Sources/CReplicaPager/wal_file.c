// The WAL, as a connection sees it: a header of 32 bytes, then frames of 24 bytes and a page each.
//
// SQLite reads pages of frames, and when a transaction that spilled overwrote frames of its own, whole frames and the 8
// bytes of the checksum before them (walRewriteChecksums). It writes the header, the two parts of frames, and in place
// the page of a frame that the same transaction had spilled before. Any other offset and length works as well.

#include <string.h>

#include "internal.h"

// The part of a piece of the WAL that lies in one frame: `at` in it, `count` bytes.
typedef struct span {
    uint32_t frame;
    int at;
    int count;
} span;

// Of the header when `offset` is in it; else to the end of a frame's header, or of its page.
static span span_at(sqlite3_int64 offset, int left) {
    span part = {.frame = 0, .at = (int)offset, .count = WAL_HDRSIZE - (int)offset};
    if (offset >= WAL_HDRSIZE) {
        part.frame = (uint32_t)((offset - WAL_HDRSIZE) / WAL_FRAME_SIZE) + 1;
        part.at = (int)((offset - WAL_HDRSIZE) % WAL_FRAME_SIZE);
        part.count = (part.at < WAL_FRAME_HDRSIZE ? WAL_FRAME_HDRSIZE : WAL_FRAME_SIZE) - part.at;
    }
    if (part.count > left) part.count = left;
    return part;
}

static int wal_close(sqlite3_file *base) {
    (void)base;
    return SQLITE_OK;
}

static int read_page(rp_main_file *file, rp_frame *frame, void *bytes, int count, int at) {
    pthread_mutex_lock(&file->reading);
    rp_page *page = atomic_load_explicit(&frame->page, memory_order_acquire);
    if (page != NULL) memcpy(bytes, page->bytes + at, (size_t)count);
    pthread_mutex_unlock(&file->reading);
    if (page != NULL) return SQLITE_OK;

    // The buffer was freed since the file has what this snapshot may see: the frame is not above nBackfill, the
    // snapshot not below, so it is the newest frame of its page up to nBackfill; and what is copied into the file next
    // is not above the snapshot either, so this page is not among it.
    uint32_t pgno = get4byte(frame->header);
    if (pgno == 0) return SQLITE_IOERR_READ;
    int64_t offset = (int64_t)(pgno - 1) * RP_PAGE_SIZE + at;
    int rc = rp_main_file_read(file, bytes, count, offset);
    return rc == SQLITE_IOERR_SHORT_READ ? SQLITE_IOERR_READ : rc;
}

static int wal_read(sqlite3_file *base, void *bytes, int count, sqlite3_int64 offset) {
    rp_main_file *file = ((rp_wal_file *)base)->main;
    rp_view *view = file->view;
    uint8_t *to = bytes;
    while (count > 0) {
        span part = span_at(offset, count);
        rp_frame *frame = part.frame == 0 ? NULL : rp_view_frame(view, part.frame);
        if (part.frame == 0) {
            memcpy(to, view->wal_header + part.at, (size_t)part.count);
        } else if (frame == NULL) {
            memset(to, 0, (size_t)count);
            return SQLITE_IOERR_SHORT_READ;
        } else if (part.at < WAL_FRAME_HDRSIZE) {
            memcpy(to, frame->header + part.at, (size_t)part.count);
        } else {
            int rc = read_page(file, frame, to, part.count, part.at - WAL_FRAME_HDRSIZE);
            if (rc != SQLITE_OK) return rc;
            if (part.count == RP_PAGE_SIZE && get4byte(frame->header) == 1) rp_main_file_note_version(file, to);
        }
        to += part.count;
        offset += part.count;
        count -= part.count;
    }
    return rp_view_is_void(view) ? RP_NOT_LEADER : SQLITE_OK;
}

static int write_page(rp_view *view, rp_frame *frame, const uint8_t *bytes, int count, int at) {
    rp_page *page = atomic_load_explicit(&frame->page, memory_order_relaxed);
    if (page == NULL || rp_page_is_shared(page)) {
        rp_page *fresh = rp_page_create(&view->database->live_pages);
        if (fresh == NULL) return SQLITE_IOERR_NOMEM;
        if (count < RP_PAGE_SIZE) memset(fresh->bytes, 0, RP_PAGE_SIZE);
        if (count < RP_PAGE_SIZE && page != NULL) memcpy(fresh->bytes, page->bytes, RP_PAGE_SIZE);
        atomic_store_explicit(&frame->page, fresh, memory_order_release);
        rp_page_release(page);
        page = fresh;
    }
    memcpy(page->bytes + at, bytes, (size_t)count);
    return SQLITE_OK;
}

// Frames of the transaction that holds the WRITE lock: above `captured`, which does not change meanwhile.
static int wal_write(sqlite3_file *base, const void *bytes, int count, sqlite3_int64 offset) {
    rp_main_file *file = ((rp_wal_file *)base)->main;
    rp_view *view = file->view;
    if (view->kind == RP_COMMITTED) return SQLITE_IOERR_WRITE;
    if (rp_view_is_void(view)) return RP_NOT_LEADER;
    const uint8_t *from = bytes;
    while (count > 0) {
        span part = span_at(offset, count);
        if (part.frame == 0) {
            memcpy(view->wal_header + part.at, from, (size_t)part.count);
        } else {
            if (part.frame <= view->captured) {
                // A batch, the committed view and other snapshots have this page.
                atomic_fetch_add(&view->database->refused_frame_writes, 1);
                return SQLITE_IOERR_WRITE;
            }
            if (part.frame - view->captured > view->database->maximum_transaction_pages) {
                file->limit_hit = true;
                return SQLITE_FULL;
            }
            int rc = rp_view_reserve(view, part.frame);
            if (rc != SQLITE_OK) return rc == SQLITE_NOMEM ? SQLITE_IOERR_NOMEM : rc;
            if (part.frame > view->highest) view->highest = part.frame;
            rp_frame *frame = rp_view_frame(view, part.frame);
            if (part.at < WAL_FRAME_HDRSIZE) {
                memcpy(frame->header + part.at, from, (size_t)part.count);
            } else {
                rc = write_page(view, frame, from, part.count, part.at - WAL_FRAME_HDRSIZE);
                if (rc != SQLITE_OK) return rc;
            }
        }
        from += part.count;
        offset += part.count;
        count -= part.count;
    }
    return SQLITE_OK;
}

// By journal_size_limit, where a build of SQLite has a default for it. What is above mxFrame goes by itself.
static int wal_truncate(sqlite3_file *base, sqlite3_int64 size) {
    (void)base, (void)size;
    return SQLITE_OK;
}

static int wal_file_size(sqlite3_file *base, sqlite3_int64 *size) {
    uint32_t mxFrame = rp_wal_index_mxFrame(&((rp_wal_file *)base)->main->view->index);
    *size = mxFrame == 0 ? 0 : WAL_HDRSIZE + (sqlite3_int64)mxFrame * WAL_FRAME_SIZE;
    return SQLITE_OK;
}

static int wal_file_control(sqlite3_file *base, int operation, void *argument) {
    (void)base, (void)operation, (void)argument;
    return SQLITE_NOTFOUND;
}

static const sqlite3_io_methods wal_methods = {
    .iVersion = 1,
    .xClose = wal_close,
    .xRead = wal_read,
    .xWrite = wal_write,
    .xTruncate = wal_truncate,
    .xSync = rp_any_sync,
    .xFileSize = wal_file_size,
    .xLock = rp_any_lock,
    .xUnlock = rp_any_unlock,
    .xCheckReservedLock = rp_any_check_reserved_lock,
    .xFileControl = wal_file_control,
    .xSectorSize = rp_any_sector_size,
    .xDeviceCharacteristics = rp_any_device_characteristics,
};

void rp_wal_file_init(rp_wal_file *file, rp_main_file *main) {
    file->base.pMethods = &wal_methods;
    file->main = main;
}
