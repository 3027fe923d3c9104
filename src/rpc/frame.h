/* Framing of mikeyd.proto: 4 bytes big-endian length, then the packed message. */
#ifndef RPC_FRAME_H
#define RPC_FRAME_H

#include <stddef.h>
#include <stdint.h>

#define RPC_HEADER 4
/* Largest frame body: two 64 KiB messages in base form, a ticket and room for 255 keys. Longer ones
 * end the connection. */
#define RPC_FRAME_MAX (256 * 1024)

static inline uint32_t rpc_frame_length(const uint8_t header[RPC_HEADER])
{
    return (uint32_t)header[0] << 24 | (uint32_t)header[1] << 16 | (uint32_t)header[2] << 8 |
           header[3];
}

static inline void rpc_frame_put_length(uint8_t header[RPC_HEADER], uint32_t length)
{
    header[0] = (uint8_t)(length >> 24);
    header[1] = (uint8_t)(length >> 16);
    header[2] = (uint8_t)(length >> 8);
    header[3] = (uint8_t)length;
}

#endif
