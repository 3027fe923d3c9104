#include "secure_stream.h"

bool secure_stream_key(struct secure_stream *stream, const struct mikeyd_srtp_key *newest,
                       const struct mikeyd_srtp_key *before)
{
    struct mikeyd_srtp_policy policy;
    bool done = false;
    if (mikeyd_srtp_policy_make(&policy, newest, before) == MIKEYD_OK) {
        if (stream->srtp != NULL)
            done = srtp_update(stream->srtp, &policy.srtp) == srtp_err_status_ok;
        else if (srtp_create(&stream->srtp, &policy.srtp) == srtp_err_status_ok)
            /* A stream may have run before this end came to it (RFC 3830 6.1.1). */
            done = newest->roc == 0 || srtp_set_stream_roc(stream->srtp, newest->ssrc,
                                                           newest->roc) == srtp_err_status_ok;
    }
    mikeyd_srtp_policy_wipe(&policy);
    if (done)
        stream->newest = newest;
    else
        secure_stream_close(stream); /* rather no media than media under keys that nobody chose */
    return done;
}

bool secure_stream_protect(struct secure_stream *stream, unsigned char *packet, int *len)
{
    return stream->srtp != NULL &&
           srtp_protect_mki(stream->srtp, packet, len, stream->newest->mki_len != 0, 0) ==
               srtp_err_status_ok;
}

bool secure_stream_unprotect(struct secure_stream *stream, unsigned char *packet, int *len,
                             bool *by_newest)
{
    if (stream->srtp == NULL || *len < 0)
        return false;
    *by_newest = mikeyd_srtp_packet_names(stream->newest, packet, (size_t)*len);
    return srtp_unprotect_mki(stream->srtp, packet, len, stream->newest->mki_len != 0) ==
           srtp_err_status_ok;
}

void secure_stream_close(struct secure_stream *stream)
{
    if (stream->srtp != NULL)
        (void)srtp_dealloc(stream->srtp);
    *stream = (struct secure_stream){0};
}
