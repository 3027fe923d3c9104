/* Inside a port: one request, at one member after another. */
#ifndef KEYS_PORT_H
#define KEYS_PORT_H

#include "keys/group_internal.h"

struct keys_port {
    struct keys_group *group;
    struct keys_connection connection[KEYS_MEMBERS_MAX];
    uint8_t *buffer;     /* secure heap, DOOR_MESSAGE_MAX bytes */
    size_t used;         /* of the buffer, since it was wiped */
    int64_t deadline_ms; /* 0: none set */
    const char *prf;
    unsigned uses;
    int64_t wait_us;
    size_t preferred;            /* DOOR_CHECKPOINT: the member that is asked first */
    struct door_request request; /* of now: its op and what belongs to that are set */
    struct door_answer answer;   /* views into buffer */
};

/* Has port->request answered: on OK port->answer fits it. keys_port_end() wipes it. */
enum mikeyd_status keys_port_request(struct keys_port *port, struct error *err);
/* The same at every member that serves; OK when one of them did it. */
enum mikeyd_status keys_port_request_everywhere(struct keys_port *port, struct error *err);
void keys_port_end(struct keys_port *port);
/* Lengths are those that the request asks for. */
bool keys_port_answer_fits(const struct door_request *request, const struct door_answer *answer);

#endif
