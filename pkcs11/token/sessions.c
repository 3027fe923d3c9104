/* The session pool, and the bracket around every call into the module. */
#include <errno.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "pkcs11/token/internal.h"

/* ---- one session */

static struct timespec deadline_after(unsigned timeout_ms)
{
    struct timespec at;
    (void)clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += (time_t)(timeout_ms / 1000);
    at.tv_nsec += (long)(timeout_ms % 1000) * 1000000L;
    if (at.tv_nsec >= 1000000000L) {
        at.tv_sec++;
        at.tv_nsec -= 1000000000L;
    }
    return at;
}

enum mikeyd_status token_session_prepare(struct token *token, struct token_session *session,
                                         struct error *err)
{
    session->token = token;
    session->handle = CK_INVALID_HANDLE;
    session->scratch = secret_alloc(TOKEN_SCRATCH);
    if (session->scratch == NULL)
        return error_set(err, MIKEYD_INTERNAL, "secure heap is full");
    return MIKEYD_OK;
}

void token_session_dispose(struct token_session *session)
{
    token_session_drop(session);
    secret_release(session->scratch, TOKEN_SCRATCH);
    session->scratch = NULL;
}

CK_RV token_session_open(struct token_session *session)
{
    struct token *token = session->token;
    CK_FLAGS flags = CKF_SERIAL_SESSION;
    if (token->sessions_rw)
        flags |= CKF_RW_SESSION;
    CK_SESSION_HANDLE handle = CK_INVALID_HANDLE;
    CK_RV rv = token->f->C_OpenSession(token->slot, flags, NULL, NULL, &handle);
    if (rv != CKR_OK)
        return rv;
    session->handle = handle;
    session->doubtful = false;
    session->begun = CK_INVALID_HANDLE;
    session->generation = atomic_load(&token->generation);
    session->openings++;
    return CKR_OK;
}

static bool may_be_open(CK_RV rv)
{
    return rv != CKR_OK && rv != CKR_SESSION_HANDLE_INVALID && rv != CKR_SESSION_CLOSED &&
           rv != CKR_CRYPTOKI_NOT_INITIALIZED && rv != CKR_TOKEN_NOT_PRESENT &&
           rv != CKR_DEVICE_REMOVED;
}

/*
 * Whatever the token's trouble was, a second call may close it; at once, because later the number
 * may name another session. One that stays open counts against the token's sessions until the
 * module begins anew, which the operator should know.
 */
static void close_handle(const struct token *token, CK_SESSION_HANDLE handle)
{
    if (token->f->C_CloseSession(handle) == CKR_OK)
        return;
    const CK_RV rv = token->f->C_CloseSession(handle);
    if (may_be_open(rv))
        log_warning("token %s: C_CloseSession: %s: a session may stay open", token->label,
                    ckr_name(rv));
}

void token_session_drop(struct token_session *session)
{
    if (session->handle != CK_INVALID_HANDLE)
        close_handle(session->token, session->handle);
    token_session_forget(session);
}

void token_session_forget(struct token_session *session)
{
    if (session->handle != CK_INVALID_HANDLE)
        (void)atomic_fetch_add(&session->ends, 1);
    session->handle = CK_INVALID_HANDLE;
}

/* ---- the bracket */

static void clock_start(struct token_session *session, const char *operation)
{
    int64_t now = clock_monotonic_ms();
    atomic_store(&session->operation, operation);
    atomic_store(&session->busy_since_ms, now == 0 ? 1 : now);
}

/*
 * Announces the call, then looks at the gate; a recovery closes the gate, then looks for announced
 * calls. With both in sequentially consistent order one of the two sees the other.
 */
static enum mikeyd_status enter_gate(struct token_session *session, const char *operation,
                                     struct error *err)
{
    for (;;) {
        clock_start(session, operation);
        unsigned gate = atomic_load(&session->token->gate);
        if (gate == 0)
            return MIKEYD_OK;
        atomic_store(&session->busy_since_ms, 0);
        enum mikeyd_status status = token_gate_pass(session, gate, err);
        if (status != MIKEYD_OK)
            return status;
    }
}

enum mikeyd_status token_call_begin(struct token_session *session, const char *operation,
                                    struct error *err)
{
    struct token_patience patience = {0};
    for (int attempt = 0;; attempt++) {
        enum mikeyd_status status = enter_gate(session, operation, err);
        if (status != MIKEYD_OK)
            return status;
        if (session->doubtful)
            token_session_drop(session);
        if (session->handle != CK_INVALID_HANDLE)
            return MIKEYD_OK;
        CK_RV rv = token_session_open(session);
        if (rv == CKR_OK)
            return MIKEYD_OK;
        session->generation = atomic_load(&session->token->generation);
        status = token_call_failed(session, "C_OpenSession", rv, err);
        if (token_wait_while_busy(session, rv, &patience)) {
            attempt--;
            continue;
        }
        if (attempt > 0 || !token_rv_recoverable(session->token, rv))
            return status;
        status = token_recover(session, rv, err);
        if (status != MIKEYD_OK)
            return status;
    }
}

enum mikeyd_status token_call_begin_once(struct token_session *session, const char *operation,
                                         struct error *err)
{
    enum mikeyd_status status = enter_gate(session, operation, err);
    if (status != MIKEYD_OK)
        return status;
    if (session->doubtful)
        token_session_drop(session);
    const CK_RV rv =
        session->handle == CK_INVALID_HANDLE ? token_session_open(session) : (CK_RV)CKR_OK;
    return rv == CKR_OK ? MIKEYD_OK : token_call_failed(session, "C_OpenSession", rv, err);
}

void token_call_mark(struct token_session *session, const char *operation)
{
    clock_start(session, operation);
}

void token_call_end(struct token_session *session)
{
    atomic_store(&session->busy_since_ms, 0);
    /* The call that had overrun may be this one: let the others in again without waiting for the
     * timer. */
    if ((atomic_load(&session->token->gate) & TOKEN_GATE_HUNG) != 0)
        (void)token_overdue(session->token, clock_monotonic_ms());
}

/* In the ceremony the operator hears what he asked for in vain. */
static enum mikeyd_status status_in_ceremony(CK_RV rv)
{
    switch (rv) {
    case CKR_MECHANISM_INVALID:
    case CKR_MECHANISM_PARAM_INVALID:
    case CKR_FUNCTION_NOT_SUPPORTED:
        return MIKEYD_UNSUPPORTED;
    case CKR_WRAPPED_KEY_INVALID:
    case CKR_WRAPPED_KEY_LEN_RANGE:
    case CKR_ENCRYPTED_DATA_INVALID:
    case CKR_ENCRYPTED_DATA_LEN_RANGE:
        return MIKEYD_AUTH_FAILED;
    default:
        return MIKEYD_TOKEN_DOWN;
    }
}

/*
 * In the service every call is one that this token did before: whatever it answers is its trouble
 * and another token may be asked. It is never a verdict on a message, which UNSUPPORTED and
 * AUTH_FAILED would be.
 */
static enum mikeyd_status status_of(const struct token *token, CK_RV rv)
{
    if (token_rv_busy(token, rv))
        return MIKEYD_TOKEN_BUSY;
    return token->provisioning ? status_in_ceremony(rv) : MIKEYD_TOKEN_DOWN;
}

enum mikeyd_status token_call_failed(struct token_session *session, const char *operation, CK_RV rv,
                                     struct error *err)
{
    session->doubtful = token_rv_busy(session->token, rv);
    if (!session->doubtful)
        token_session_drop(session);
    token_call_end(session);
    return error_set(err, status_of(session->token, rv), "token %s: %s: %s%s",
                     session->token->label, operation, ckr_name(rv), ckr_advice(operation, rv));
}

CK_RV token_part_begun(struct token_session *session, CK_OBJECT_HANDLE key, CK_RV init)
{
    const bool begun = init == CKR_OPERATION_ACTIVE && session->begun == key;
    session->begun = CK_INVALID_HANDLE;
    return begun ? CKR_OK : init;
}

void token_part_ended(struct token_session *session, CK_OBJECT_HANDLE key, CK_RV rv)
{
    if (rv != CKR_OK && token_rv_busy(session->token, rv))
        session->begun = key;
}

/* ---- one call at a time */

/* By the monotonic clock: a step of the other one must not make a deadline an hour long. */
static bool lock_until(pthread_mutex_t *lock, const struct timespec *deadline)
{
#ifdef __SANITIZE_THREAD__
    /* The thread sanitizer of GCC 12 does not see pthread_mutex_clocklock() take the lock. */
    struct timespec now;
    const struct timespec pause = {.tv_nsec = 50000};
    while (pthread_mutex_trylock(lock) != 0) {
        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec > deadline->tv_sec)
            return false;
        (void)nanosleep(&pause, NULL);
    }
    return true;
#else
    return pthread_mutex_clocklock(lock, CLOCK_MONOTONIC, deadline) == 0;
#endif
}

/* Whoever holds the lock is in a call, and a call may hang. */
bool token_lock_within(const struct token *token, pthread_mutex_t *lock)
{
    if (pthread_mutex_trylock(lock) == 0)
        return true;
    const struct timespec deadline = deadline_after(token->call_timeout_ms);
    return lock_until(lock, &deadline);
}

enum mikeyd_status token_serial_enter(struct token *token, struct error *err)
{
    struct token_module *module = token->module;
    if (!module->serialise || token_lock_within(token, &module->serial))
        return MIKEYD_OK;
    return error_set(err, MIKEYD_TOKEN_DOWN,
                     "token %s: another call into the module has not returned within %u ms",
                     token->label, token->call_timeout_ms);
}

void token_serial_leave(struct token *token)
{
    if (token->module->serialise)
        (void)pthread_mutex_unlock(&token->module->serial);
}

enum mikeyd_status token_guest_lock(struct token *token, struct error *err)
{
    if (token_lock_within(token, &token->guest_lock))
        return MIKEYD_OK;
    return error_set(err, MIKEYD_TOKEN_DOWN,
                     "token %s: a health check or signature has not ended within %u ms",
                     token->label, token->call_timeout_ms);
}

enum mikeyd_status token_guest_begin(struct token *token, const char *operation, struct error *err)
{
    enum mikeyd_status status = token_guest_lock(token, err);
    if (status != MIKEYD_OK)
        return status;
    status = enter_gate(&token->guest, operation, err);
    if (status != MIKEYD_OK)
        (void)pthread_mutex_unlock(&token->guest_lock);
    return status;
}

void token_guest_end(struct token *token)
{
    token_call_end(&token->guest);
    (void)pthread_mutex_unlock(&token->guest_lock);
}

/* ---- the deadline */

static bool session_overdue(struct token_session *session, int64_t now_ms, unsigned limit_ms)
{
    int64_t since = atomic_load(&session->busy_since_ms);
    return since != 0 && now_ms - since > (int64_t)limit_ms;
}

bool token_overdue(struct token *token, int64_t now_ms)
{
    const unsigned limit = token->call_timeout_ms;
    bool overdue = session_overdue(&token->keeper, now_ms, limit) ||
                   session_overdue(&token->guest, now_ms, limit) ||
                   session_overdue(&token->reader, now_ms, limit) ||
                   token_assist_overdue(token, now_ms);
    for (unsigned i = 0; i < token->session_count; i++)
        overdue = overdue || session_overdue(&token->session[i], now_ms, limit);
    if (overdue)
        (void)atomic_fetch_or(&token->gate, TOKEN_GATE_HUNG);
    else
        (void)atomic_fetch_and(&token->gate, ~(unsigned)TOKEN_GATE_HUNG);
    return overdue;
}

/* ---- the pool */

static struct token_session *take_free(struct token *token)
{
    for (unsigned i = 0; i < token->session_count; i++) {
        if (!token->session[i].taken) {
            token->session[i].taken = true;
            return &token->session[i];
        }
    }
    return NULL;
}

enum mikeyd_status token_session_acquire(struct token *token, unsigned timeout_ms,
                                         struct token_session **out, struct error *err)
{
    const struct timespec deadline = deadline_after(timeout_ms);
    (void)pthread_mutex_lock(&token->pool_lock);
    struct token_session *session = take_free(token);
    int waited = 0;
    while (session == NULL && waited != ETIMEDOUT) {
        waited = pthread_cond_timedwait(&token->pool_freed, &token->pool_lock, &deadline);
        session = take_free(token);
    }
    (void)pthread_mutex_unlock(&token->pool_lock);
    if (session == NULL)
        return error_set(err, MIKEYD_TOKEN_BUSY,
                         "token %s: none of %u sessions became free within %u ms", token->label,
                         token->session_count, timeout_ms);
    *out = session;
    return MIKEYD_OK;
}

void token_session_release(struct token_session *session)
{
    if (session == NULL)
        return;
    struct token *token = session->token;
    (void)pthread_mutex_lock(&token->pool_lock);
    session->taken = false;
    (void)pthread_cond_signal(&token->pool_freed);
    (void)pthread_mutex_unlock(&token->pool_lock);
}

/* Asked between calls, when another thread may be initialising the module again. */
uint64_t token_session_life(const struct token_session *session)
{
    return atomic_load(&session->ends);
}
