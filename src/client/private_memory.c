#include "client/private_memory.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

#include "base/secret.h"

/* One exchange with a key or two, its message and its ticket fit in a block. */
#define BLOCK 2048
#define SLAB_BLOCKS 32
#define PAGE 4096

struct private_block {
    struct private_block *next;
};

/* Slabs are kept for the process's life: what was needed once is needed again. */
static pthread_mutex_t pool_lock = PTHREAD_MUTEX_INITIALIZER;
static struct private_block *pool_free;

static size_t private_round(size_t len)
{
    return (len + PAGE - 1) / PAGE * PAGE;
}

static void *private_map(size_t len)
{
    void *memory =
        mmap(NULL, private_round(len), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    /* Both are for the better: a library cannot insist on its host's limits. */
    (void)madvise(memory, private_round(len), MADV_DONTDUMP);
    (void)mlock(memory, private_round(len));
    return memory;
}

static bool pool_add_slab(void)
{
    uint8_t *slab = private_map(BLOCK * SLAB_BLOCKS);
    for (size_t i = 0; slab != NULL && i < SLAB_BLOCKS; i++) {
        struct private_block *block = (void *)(slab + i * BLOCK);
        block->next = pool_free;
        pool_free = block;
    }
    return slab != NULL;
}

void *private_alloc(size_t len)
{
    if (len > BLOCK)
        return private_map(len);
    struct private_block *block = NULL;
    (void)pthread_mutex_lock(&pool_lock);
    if (pool_free != NULL || pool_add_slab()) {
        block = pool_free;
        pool_free = block->next;
    }
    (void)pthread_mutex_unlock(&pool_lock);
    if (block != NULL)
        block->next = NULL; /* the rest of a free block is zeros */
    return block;
}

void private_free(void *memory, size_t len)
{
    if (memory == NULL)
        return;
    secret_wipe(memory, len);
    if (len > BLOCK) {
        (void)munmap(memory, private_round(len));
        return;
    }
    struct private_block *block = memory;
    (void)pthread_mutex_lock(&pool_lock);
    block->next = pool_free;
    pool_free = block;
    (void)pthread_mutex_unlock(&pool_lock);
}

int private_buffer_reserve(struct private_buffer *buffer, size_t cap, size_t keep)
{
    if (cap <= buffer->cap)
        return 0;
    size_t wanted = buffer->cap * 2;
    if (wanted < cap)
        wanted = cap;
    uint8_t *data = private_alloc(wanted);
    if (data == NULL)
        return -1;
    if (keep != 0)
        memcpy(data, buffer->data, keep);
    private_free(buffer->data, buffer->cap);
    buffer->data = data;
    buffer->cap = wanted;
    return 0;
}

void private_buffer_free(struct private_buffer *buffer)
{
    private_free(buffer->data, buffer->cap);
    *buffer = (struct private_buffer){0};
}
