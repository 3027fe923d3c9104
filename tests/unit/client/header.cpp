// The public header in a C++ program.
#include <mikeyd/client.h>

int main()
{
    mikeyd_stream stream = {};
    mikeyd_offer offer = {};
    offer.streams = &stream;
    mikeyd_client *client = nullptr;
    mikeyd_status status = mikeyd_client_open("unix:/nonexistent", &client);
    mikeyd_client_close(client);
    return status == MIKEYD_UNREACHABLE && offer.stream_count == 0 ? 0 : 1;
}
