// The frames of a view. Readers find a frame without a lock: a chunk, once there, stays; a frame is complete before the
// header that covers it is published.

#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define CHUNK 4096 // frames

rp_view *rp_view_create(rp_database *database, rp_view_kind kind) {
    rp_view *view = calloc(1, sizeof *view);
    if (view == NULL) return NULL;
    view->database = database;
    view->kind = kind;
    atomic_init(&view->references, 1);
    atomic_init(&view->doomed, false);
    if (rp_wal_index_init(&view->index) != SQLITE_OK) {
        rp_view_release(view);
        return NULL;
    }
    return view;
}

void rp_view_release(rp_view *view) {
    if (atomic_fetch_sub_explicit(&view->references, 1, memory_order_acq_rel) != 1) return;
    rp_view_truncate(view, 0);
    for (int i = 0; i < MAXIMUM_REGIONS; i++) free(atomic_load(&view->chunks[i]));
    rp_wal_index_destroy(&view->index);
    free(view);
}

int rp_view_reserve(rp_view *view, uint32_t mxFrame) {
    if (mxFrame > MAXIMUM_FRAMES) return SQLITE_FULL;
    uint32_t last = mxFrame / CHUNK, first = last;
    while (first > 0 && atomic_load_explicit(&view->chunks[first - 1], memory_order_relaxed) == NULL) first--;
    for (uint32_t number = first; number <= last; number++) {
        if (atomic_load_explicit(&view->chunks[number], memory_order_relaxed) != NULL) continue;
        rp_frame *chunk = calloc(CHUNK, sizeof *chunk);
        if (chunk == NULL) return SQLITE_NOMEM;
        atomic_store_explicit(&view->chunks[number], chunk, memory_order_release);
    }
    return SQLITE_OK;
}

rp_frame *rp_view_frame(rp_view *view, uint32_t number) {
    if (number == 0 || number > MAXIMUM_FRAMES) return NULL;
    rp_frame *chunk = atomic_load_explicit(&view->chunks[number / CHUNK], memory_order_acquire);
    return chunk == NULL ? NULL : &chunk[number % CHUNK];
}

static rp_frame *reserved_frame(rp_view *view, uint32_t number) {
    return &atomic_load_explicit(&view->chunks[number / CHUNK], memory_order_relaxed)[number % CHUNK];
}

void rp_view_set_frame(rp_view *view, uint32_t number, uint32_t pgno, rp_page *page) {
    rp_frame *frame = reserved_frame(view, number);
    rp_page_release(atomic_exchange_explicit(&frame->page, page, memory_order_acq_rel));
    // Salts and checksums serve recovery alone, which never runs. The commit size is in the WAL-index.
    memset(frame->header, 0, sizeof frame->header);
    put4byte(frame->header, pgno);
    if (number > view->highest) view->highest = number;
}

// Frees the frames above mxFrame, which no snapshot has.
void rp_view_truncate(rp_view *view, uint32_t mxFrame) {
    for (uint32_t i = mxFrame + 1; i <= view->highest; i++) {
        rp_page_release(atomic_exchange_explicit(&reserved_frame(view, i)->page, NULL, memory_order_acq_rel));
    }
    if (view->highest > mxFrame) view->highest = mxFrame;
    if (view->shed > mxFrame) view->shed = mxFrame;
}

// Frees the buffers of frames up to `last`, which are in the file. The reader of a frame is inside its connection's
// `reading` while it touches the buffer; with all of them locked nobody does. In slices, so that no reader waits long.
void rp_view_shed(rp_view *view, uint32_t last) {
    const uint32_t slice = 256;
    while (view->shed < last) {
        uint32_t end = last - view->shed > slice ? view->shed + slice : last;
        pthread_mutex_lock(&view->index.mutex);
        for (rp_main_file *f = view->connections; f != NULL; f = f->next) pthread_mutex_lock(&f->reading);
        for (uint32_t i = view->shed + 1; i <= end; i++) {
            rp_page_release(atomic_exchange_explicit(&reserved_frame(view, i)->page, NULL, memory_order_acq_rel));
        }
        for (rp_main_file *f = view->connections; f != NULL; f = f->next) pthread_mutex_unlock(&f->reading);
        pthread_mutex_unlock(&view->index.mutex);
        view->shed = end;
    }
}
