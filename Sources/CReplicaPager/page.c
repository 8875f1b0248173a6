// Page buffers, counted by reference.

#include <stdlib.h>

#include "internal.h"

rp_page *rp_page_create(atomic_ullong *live) {
    rp_page *page = malloc(sizeof *page);
    if (page == NULL) return NULL;
    atomic_init(&page->references, 1);
    page->live = live;
    atomic_fetch_add_explicit(live, 1, memory_order_relaxed);
    return page;
}

rp_page *rp_page_retain(rp_page *page) {
    atomic_fetch_add_explicit(&page->references, 1, memory_order_relaxed);
    return page;
}

void rp_page_release(rp_page *page) {
    if (page == NULL) return;
    // Release: what we did with the page comes before the free. Acquire: the free comes after what others did.
    if (atomic_fetch_sub_explicit(&page->references, 1, memory_order_acq_rel) != 1) return;
    atomic_fetch_sub_explicit(page->live, 1, memory_order_relaxed);
    free(page);
}

bool rp_page_is_shared(const rp_page *page) {
    return atomic_load_explicit(&((rp_page *)page)->references, memory_order_acquire) > 1;
}
