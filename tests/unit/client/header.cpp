// The public headers in a C++ program.
#include <mikeyd/client.h>
#include <mikeyd/sdp.h>

int main()
{
    mikeyd_stream stream = {};
    mikeyd_offer offer = {};
    offer.streams = &stream;
    mikeyd_client *client = nullptr;
    mikeyd_status status = mikeyd_client_open("unix:/nonexistent", &client);
    mikeyd_client_close(client);
    mikeyd_sdp *sdp = nullptr;
    if (mikeyd_sdp_read("v=0", 3, &sdp) == MIKEYD_OK)
        mikeyd_sdp_free(sdp);
    return status == MIKEYD_UNREACHABLE && offer.stream_count == 0 ? 0 : 1;
}
