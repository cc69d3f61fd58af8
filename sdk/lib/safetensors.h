/* safetensors.h: what reading and writing safetensors share. */
#ifndef LIB_SAFETENSORS_H
#define LIB_SAFETENSORS_H

#include <dal/safetensors.h>

#define ST_MAX_HEADER ((int64_t)32 << 20) /* bytes */

typedef struct st_type {
    const char *name;
    int bytes;
} st_type;
extern const st_type st_types[DAL_ST_TYPES];

/* A name of a tensor, fit for a message. */
const char *st_shown(const char *name, char out[96]);

#endif
