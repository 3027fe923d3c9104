/*
 * OCSF 1.3.0. The classes, and why:
 *  - exchanges and refusals: API Activity (6003). A client calls an operation of ours and gets keys,
 *    or not. Authentication (3002) is about logging on, which a MIKEY exchange is not.
 *  - ceremony steps: Entity Management (3004). Somebody creates, reads or deletes a managed thing,
 *    the key. Account Change (3001) is about users.
 *  - start and stop: Application Lifecycle (6002).
 *  - login: Authentication (3002), of a keyholder at its token.
 *  - everything else: Application Lifecycle, activity 99 (Other), named by the event.
 * metadata.sequence and metadata.uid are the record's number and hash; the whole record is in
 * unmapped.
 */
#include <string.h>

#include "audit/audit.h"
#include "audit/export/fields.h"
#include "audit/record.h"

#define OCSF_VERSION "1.3.0"
#define OTHER 99

enum { AUTHENTICATION = 3002, ENTITY = 3004, LIFECYCLE = 6002, API = 6003 };
enum { CREATE = 1, READ = 2, UPDATE = 3, DELETE = 4, LOGON = 1, START = 3, STOP = 4 };

struct mapping {
    int class_uid, activity;
    const char *activity_name;
};

/* What was refused is told by its operation. */
static struct mapping of_call(const char *operation)
{
    if (strcmp(operation, "initiate") == 0 || strcmp(operation, "respond") == 0)
        return (struct mapping){API, CREATE, "Create"};
    if (strcmp(operation, "confirm") == 0)
        return (struct mapping){API, READ, "Read"};
    if (strcmp(operation, "update") == 0)
        return (struct mapping){API, UPDATE, "Update"};
    return (struct mapping){API, OTHER, operation};
}

static struct mapping mapping_of(const json_t *record)
{
    const char *name = export_text(record, "event");
    enum audit_event event = AUDIT_EVENT_COUNT;
    (void)audit_event_by_name(name, &event);
    switch (event) {
    case AUDIT_INITIATE:
    case AUDIT_RESPOND:
    case AUDIT_CONFIRM:
    case AUDIT_UPDATE:
        return of_call(name);
    case AUDIT_REFUSED:
        return of_call(export_text(record, "operation"));
    case AUDIT_SUPPRESSED:
        return (struct mapping){API, OTHER, name};
    case AUDIT_KEY_GENERATE:
    case AUDIT_KEY_IMPORT:
    case AUDIT_KEY_UNWRAP:
    case AUDIT_KEY_DERIVE:
        return (struct mapping){ENTITY, CREATE, "Create"};
    case AUDIT_KEY_WRAP:
    case AUDIT_KEY_CHECK:
        return (struct mapping){ENTITY, READ, "Read"};
    case AUDIT_KEY_DESTROY:
        return (struct mapping){ENTITY, DELETE, "Delete"};
    case AUDIT_LOGIN:
        return (struct mapping){AUTHENTICATION, LOGON, "Logon"};
    case AUDIT_START:
        return (struct mapping){LIFECYCLE, START, "Start"};
    case AUDIT_STOP:
        return (struct mapping){LIFECYCLE, STOP, "Stop"};
    default:
        return (struct mapping){LIFECYCLE, OTHER, name};
    }
}

static json_t *product(const struct audit_export *how)
{
    return json_pack("{s:s, s:s, s:s}", "name", "mikeyd", "vendor_name", "mikeyd", "version",
                     how->version);
}

static json_t *metadata(const struct audit_export *how, const json_t *record)
{
    const char *reference = export_text(record, "reference");
    const char *call = reference[0] != '\0' ? reference : export_text(record, "csb_id");
    json_t *object =
        json_pack("{s:s, s:o, s:I, s:s, s:s, s:s, s:s}", "version", OCSF_VERSION, "product",
                  product(how), "sequence", export_number(record, "seq"), "uid",
                  export_text(record, "hash"), "event_code", export_text(record, "event"),
                  "original_time", export_text(record, "time"), "log_name", "mikeyd audit");
    if (object != NULL && call[0] != '\0')
        (void)json_object_set_new(object, "correlation_uid", json_string(call));
    return object;
}

/* Who did it: a client by its name in the policy, a person of the ceremony by user. */
static const char *actor_name(const json_t *record)
{
    const char *client = export_text(record, "client");
    return client[0] == '\0' ? "mikeyd" : client;
}

static json_t *resources(const json_t *record)
{
    json_t *list = json_array();
    const char *from = export_text(record, "from"), *to = export_text(record, "to");
    const char *key = export_text(record, "key");
    if (from[0] != '\0')
        (void)json_array_append_new(
            list, json_pack("{s:s, s:s}", "type", "MIKEY initiator", "name", from));
    if (to[0] != '\0')
        (void)json_array_append_new(list,
                                    json_pack("{s:s, s:s}", "type", "MIKEY responder", "name", to));
    if (key[0] != '\0')
        (void)json_array_append_new(list,
                                    json_pack("{s:s, s:s}", "type", "pre-shared key", "name", key));
    return list;
}

/* What the class requires beyond the base event. */
static json_t *class_fields(const struct mapping *as, const struct audit_export *how,
                            const json_t *record)
{
    const char *who = actor_name(record), *event = export_text(record, "event");
    const char *operation = export_text(record, "operation");
    const char *key = export_text(record, "key");
    switch (as->class_uid) {
    case API:
        return json_pack("{s:{s:{s:s}}, s:{s:s}, s:{s:s}, s:o}", "actor", "user", "name", who,
                         "api", "operation", operation[0] == '\0' ? event : operation,
                         "src_endpoint", "name", who, "resources", resources(record));
    case ENTITY:
        return json_pack("{s:{s:{s:s}}, s:{s:s, s:s}}", "actor", "user", "name", who, "entity",
                         "type", "cryptographic key", "name",
                         key[0] == '\0' ? "all keys of the token" : key);
    case AUTHENTICATION:
        return json_pack("{s:{s:s}, s:{s:s}}", "user", "name", "mikeyd-keyholder", "service",
                         "name", "PKCS#11 token");
    default:
        return json_pack("{s:o}", "app", product(how));
    }
}

static json_t *base_fields(const struct mapping *as, const struct audit_export *how,
                           const json_t *record)
{
    static const int severities[] = {
        [EXPORT_INFO] = 1, [EXPORT_NOTICE] = 1, [EXPORT_WARNING] = 3, [EXPORT_ERROR] = 4};
    const char *result = export_text(record, "result"), *detail = export_text(record, "detail");
    const bool good = strcmp(result, "OK") == 0;
    int64_t ms = 0;
    (void)export_time_ms(record, &ms);
    json_t *object = json_pack(
        "{s:i, s:i, s:i, s:I, s:i, s:s, s:I, s:i, s:i, s:s, s:s, s:o}", "class_uid", as->class_uid,
        "category_uid", as->class_uid / 1000, "activity_id", as->activity, "type_uid",
        (json_int_t)as->class_uid * 100 + as->activity, "severity_id",
        severities[export_weight(record)], "activity_name", as->activity_name, "time",
        (json_int_t)ms, "status_id", good ? 1 : 2, "timezone_offset", 0, "status",
        good ? "Success" : "Failure", "status_code", result, "metadata", metadata(how, record));
    if (object != NULL && detail[0] != '\0')
        (void)json_object_set_new(object, "message", json_string(detail));
    if (object != NULL && export_number(record, "count") > 0)
        (void)json_object_set_new(object, "count", json_integer(export_number(record, "count")));
    return object;
}

bool export_ocsf(FILE *out, const struct audit_export *how, const json_t *record, bool verifies)
{
    const struct mapping as = mapping_of(record);
    json_t *object = base_fields(&as, how, record);
    json_t *more = class_fields(&as, how, record);
    json_t *unmapped =
        json_pack("{s:b, s:O}", "verifies", verifies, "record", (json_t *)(uintptr_t)record);
    if (unmapped != NULL && how->host != NULL)
        (void)json_object_set_new(unmapped, "host", json_string(how->host));
    const bool whole = object != NULL && more != NULL && unmapped != NULL &&
                       json_object_update(object, more) == 0 &&
                       json_object_set(object, "unmapped", unmapped) == 0 &&
                       json_dumpf(object, out, JSON_COMPACT | JSON_ENSURE_ASCII) == 0;
    json_decref(unmapped);
    json_decref(more);
    json_decref(object);
    return whole;
}
