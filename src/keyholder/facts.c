/* What the token is and holds, how the process lives, and looking at the token again. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/secret.h"
#include "keyholder/holder.h"
#include "pkcs11/token/profile.h"

static int statm = -1;

static void open_statm(void)
{
    statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
}

uint32_t keyholder_rss_kb(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, open_statm);
    /* proc(5): pages in all, pages resident. */
    char text[128];
    unsigned long size = 0, resident = 0;
    const ssize_t len = pread(statm, text, sizeof text - 1, 0);
    if (len <= 0)
        return 0;
    text[len] = '\0';
    if (sscanf(text, "%lu %lu", &size, &resident) != 2)
        return 0;
    return (uint32_t)(resident * ((unsigned long)sysconf(_SC_PAGESIZE) / 1024));
}

static void copy_text(char *out, size_t cap, const char *text)
{
    (void)snprintf(out, cap, "%s", text);
}

static void fill_token(const struct keyholder *holder, struct door_facts *out)
{
    struct token_facts facts;
    token_get_facts(holder->token, &facts);
    copy_text(out->label, sizeof out->label, facts.label);
    copy_text(out->serial, sizeof out->serial, facts.serial);
    copy_text(out->manufacturer, sizeof out->manufacturer, facts.manufacturer);
    copy_text(out->model, sizeof out->model, facts.model);
    copy_text(out->module, sizeof out->module, facts.module);
    copy_text(out->profile, sizeof out->profile, facts.profile->name);
    out->hkdf = facts.hkdf;
    out->prf_derive = facts.prf_derive;
    out->session_copies = facts.session_copies;
    out->up = facts.up;
    out->sessions = facts.sessions;
    out->hmac_us = facts.hmac_us;
    out->generation = facts.generation;
    out->calls = facts.calls;
    out->hmacs = facts.hmacs;
    out->derives = facts.derives;
    out->objects_created = facts.objects_created;
}

/*
 * A module may leak into the process (SoftHSM 240 bytes of each session object), or into its secure
 * heap (opencryptoki 32 bytes of each HMAC), without which nothing works any more.
 */
static bool has_leaked(const struct keyholder *holder, uint32_t rss_kb)
{
    const bool memory =
        rss_kb > holder->rss_kb && rss_kb - holder->rss_kb > holder->options.recycle_kb;
    return memory || secret_heap_left() < holder->options.heap_least;
}

static void fill_process(struct keyholder *holder, struct door_facts *out)
{
    out->sessions_used = atomic_load(&holder->sessions_used);
    out->uses = atomic_load(&holder->uses);
    out->requests = atomic_load(&holder->requests);
    memcpy(out->incarnation, holder->incarnation, sizeof out->incarnation);
    out->rss_kb = keyholder_rss_kb();
    out->recycle = has_leaked(holder, out->rss_kb);
}

enum mikeyd_status keyholder_facts(struct keyholder *holder, struct door_facts *out,
                                   struct error *err)
{
    struct pair_cache_stats pairs;
    struct inventory_facts inventory;
    enum mikeyd_status status = MIKEYD_OK;
    *out = (struct door_facts){0};
    /* A recovery reads the keys anew. */
    if (inventory_is_old(holder->inventory))
        status = keyholder_look(holder, false, err);
    fill_token(holder, out);
    fill_process(holder, out);
    pair_cache_get_stats(holder->pairs, &pairs);
    out->pair_hits = pairs.hits;
    out->pair_misses = pairs.misses;
    out->pair_evictions = pairs.evictions;
    out->pair_entries = pairs.entries;
    inventory_get_facts(holder->inventory, &inventory);
    out->inventory = inventory.number;
    out->key_count = (uint32_t)inventory.count;
    return status;
}

/* Pair keys come from keys of the inventory: another one, other pair keys. */
enum mikeyd_status keyholder_look(struct keyholder *holder, bool retire, struct error *err)
{
    bool changed = false;
    (void)pthread_mutex_lock(&holder->looking);
    enum mikeyd_status status = inventory_refresh(holder->inventory, &changed, err);
    if (changed || retire)
        pair_cache_retire(holder->pairs, atomic_fetch_add(&holder->era, 1) + 1);
    (void)pthread_mutex_unlock(&holder->looking);
    return status;
}

enum mikeyd_status keyholder_health(struct keyholder *holder, struct error *err)
{
    struct error unwell = {0};
    enum mikeyd_status health = token_check_health(holder->token, &unwell);
    /* Keys that had vanished in a recovery may have been found. */
    enum mikeyd_status status = keyholder_look(holder, false, err);
    return health == MIKEYD_OK ? status : error_set(err, health, "%s", unwell.text);
}

enum mikeyd_status keyholder_rescan(struct keyholder *holder, struct error *err)
{
    enum mikeyd_status status = token_rescan(holder->token, err);
    /* A pair key that no policy has any more is to be gone from the token: the front asks for this
     * when it has a new one. */
    if (status == MIKEYD_OK)
        status = keyholder_look(holder, true, err);
    if (status != MIKEYD_OK)
        log_warning("token %s was not looked at again: %s", holder->label, err->text);
    return status;
}
