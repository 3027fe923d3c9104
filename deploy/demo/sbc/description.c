#include "description.h"

#include <arpa/inet.h>
#include <sofia-sip/sdp.h>
#include <string.h>

/* The first audio line of a body; the rest of the session hangs on m_session. home owns it. */
static sdp_media_t *read_audio(su_home_t *home, const char *body)
{
    sdp_session_t *session = sdp_session(sdp_parse(home, body, (issize_t)strlen(body), 0));
    if (session == NULL)
        return NULL;
    sdp_media_t *line = session->sdp_media;
    while (line != NULL && line->m_type != sdp_media_audio)
        line = line->m_next;
    return line;
}

bool description_target(const char *body, struct sockaddr_in *media)
{
    su_home_t home[1] = {SU_HOME_INIT(home)};
    su_home_init(home);
    const sdp_media_t *line = read_audio(home, body);
    const sdp_connection_t *address = line != NULL ? sdp_media_connections(line) : NULL;
    *media = (struct sockaddr_in){.sin_family = AF_INET};
    const bool found = address != NULL && line->m_port != 0 && line->m_port <= UINT16_MAX &&
                       inet_pton(AF_INET, address->c_address, &media->sin_addr) == 1;
    if (found)
        media->sin_port = htons((uint16_t)line->m_port);
    su_home_deinit(home);
    return found;
}

static void drop_attribute(sdp_attribute_t **list, const char *name)
{
    while (sdp_attribute_remove(list, name) != NULL)
        ;
}

char *description_for_other(const char *body, const struct sockaddr_in *own, bool secure,
                            unsigned version)
{
    char address[INET_ADDRSTRLEN], *text = NULL;
    su_home_t home[1] = {SU_HOME_INIT(home)};
    su_home_init(home);
    sdp_media_t *line = read_audio(home, body);
    if (line != NULL && inet_ntop(AF_INET, &own->sin_addr, address, sizeof address) != NULL) {
        sdp_session_t *session = line->m_session;
        sdp_connection_t here = {.c_size = sizeof here,
                                 .c_nettype = sdp_net_in,
                                 .c_addrtype = sdp_addr_ip4,
                                 .c_address = address};
        sdp_origin_t origin = {.o_size = sizeof origin,
                               .o_username = "-",
                               .o_id = ntohs(own->sin_port),
                               .o_version = version,
                               .o_address = &here};
        session->sdp_origin = &origin;
        session->sdp_connection = &here;
        session->sdp_media = line;
        line->m_next = NULL;
        line->m_connections = NULL;
        line->m_port = ntohs(own->sin_port);
        line->m_proto = secure ? sdp_proto_srtp : sdp_proto_rtp;
        line->m_proto_name = secure ? "RTP/SAVP" : "RTP/AVP";
        /* Keys and transport of the other side end here. */
        drop_attribute(&session->sdp_attributes, "key-mgmt");
        drop_attribute(&line->m_attributes, "key-mgmt");
        drop_attribute(&line->m_attributes, "crypto");
        drop_attribute(&line->m_attributes, "rtcp");
        sdp_printer_t *printer = sdp_print(home, session, NULL, 0, 0);
        const char *printed = sdp_message(printer);
        text = printed != NULL ? strdup(printed) : NULL;
        sdp_printer_free(printer);
    }
    su_home_deinit(home);
    return text;
}
