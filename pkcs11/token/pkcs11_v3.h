/*
 * The PKCS#11 2.40 types of p11-kit, and the few of PKCS#11 3.0 that its 0.24 header lacks: HKDF
 * and the SP 800-108 key derivation functions (PKCS#11 3.0 Current Mechanisms, 2.42 and 2.62).
 */
#ifndef PKCS11_PKCS11_V3_H
#define PKCS11_PKCS11_V3_H

#include <p11-kit/pkcs11.h>

#define MIKEYD_CKK_HKDF 0x42UL

#define MIKEYD_CKM_SP800_108_DOUBLE_PIPELINE_KDF 0x3aeUL
#define MIKEYD_CKM_HKDF_DERIVE 0x402aUL

/* AES key wrap with padding: the number of PKCS#11 2.40, and the one 3.0 gave it (RFC 5649). */
#define MIKEYD_CKM_AES_KEY_WRAP_KWP_240 0x210aUL
#define MIKEYD_CKM_AES_KEY_WRAP_KWP_300 0x210bUL

/* What the KDF feeds to its PRF, piece by piece. */
#define MIKEYD_SP800_108_ITERATION_VARIABLE 0x1UL
#define MIKEYD_SP800_108_BYTE_ARRAY 0x4UL

struct mikeyd_prf_data_param {
    CK_ULONG type;
    void *value;
    CK_ULONG value_len;
};

struct mikeyd_sp800_108_kdf_params {
    CK_MECHANISM_TYPE prf_type;
    CK_ULONG data_param_count;
    struct mikeyd_prf_data_param *data_params;
    CK_ULONG additional_key_count;
    void *additional_keys;
};

#define MIKEYD_HKDF_SALT_NULL 0x1UL
#define MIKEYD_HKDF_SALT_DATA 0x2UL

struct mikeyd_hkdf_params {
    CK_BBOOL extract;
    CK_BBOOL expand;
    CK_MECHANISM_TYPE hash;
    CK_ULONG salt_type;
    CK_BYTE *salt;
    CK_ULONG salt_len;
    CK_OBJECT_HANDLE salt_key;
    CK_BYTE *info;
    CK_ULONG info_len;
};

/*
 * C_Initialize arguments as NSS defines them: one pointer longer than the OASIS struct, with
 * LibraryParameters where OASIS has pReserved. Other modules never look past the OASIS part.
 */
struct mikeyd_initialize_args {
    CK_CREATEMUTEX create_mutex;
    CK_DESTROYMUTEX destroy_mutex;
    CK_LOCKMUTEX lock_mutex;
    CK_UNLOCKMUTEX unlock_mutex;
    CK_FLAGS flags;
    void *library_parameters;
    void *reserved;
};

#endif
