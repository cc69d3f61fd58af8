/* dal/safetensors.h: (libdal) files of named tensors, as Hugging Face's safetensors has them: read through a memory
 * map, written whole or not at all.
 *
 * The format (github.com/huggingface/safetensors): 8 bytes, little-endian, the length of the header; the header, a JSON
 * object of name: {"dtype", "shape", "data_offsets": [begin, end]} with offsets from its end, and perhaps
 * "__metadata__", an object of strings; then the numbers, little-endian, in C order, one tensor behind the other
 * without gaps.
 *
 * A file is hostile input: lengths, types, shapes, products, offsets, overlaps, gaps and bytes after the last tensor
 * are checked before anything of it is used, and what does not fit is one error that names the file, the tensor and
 * both sides. Nothing in it is executed. The file must not be cut short by somebody else while it is open.
 */
#ifndef DAL_SAFETENSORS_H
#define DAL_SAFETENSORS_H

#include <dal/host.h>
#include <dal/model.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Types of elements. */
#define DAL_ST_BOOL 0u
#define DAL_ST_U8 1u
#define DAL_ST_I8 2u
#define DAL_ST_F8_E5M2 3u
#define DAL_ST_F8_E4M3 4u
#define DAL_ST_I16 5u
#define DAL_ST_U16 6u
#define DAL_ST_F16 7u
#define DAL_ST_BF16 8u
#define DAL_ST_I32 9u
#define DAL_ST_U32 10u
#define DAL_ST_F32 11u
#define DAL_ST_F64 12u
#define DAL_ST_I64 13u
#define DAL_ST_U64 14u
#define DAL_ST_TYPES 15u

#define DAL_ST_MAX_DIMS 8

/* A key of the metadata that begins so names a file, and its value is what that holds: texts that other programs want
 * beside the tensors. A model may save them along; `dalhost runs export --model` writes them beside when it writes a
 * folder, and leaves them out otherwise. Names of files are [A-Za-z0-9._-]+ and begin with a letter. */
#define DAL_ST_BESIDE "file:"
/* The key of the metadata that says which tensors of a model lie in another file, from which it was made, and need not
 * be kept with it. Its value is JSON: {"file": absolute path of a .safetensors file, "hash": 16 hexadecimal digits,
 * "tensors": {name in the whole: name in that file}}. The hash is h after h = 0 and, for each tensor of that file in
 * the order of dal_safetensors_tensor, h = dal_hash64(h, name), h = dal_hash64(h, bytes). `dalhost runs export --model`
 * writes these tensors and those of the model as one, or refuses where that file is gone or another. */
#define DAL_ST_ELSEWHERE "elsewhere"

typedef struct dal_tensor {
    uint32_t struct_size;
    uint32_t dtype, ndim;
    uint32_t reserved;
    int64_t shape[DAL_ST_MAX_DIMS];
    const char *name;
    const void *data; /* [bytes] where it lies: perhaps not aligned */
    int64_t bytes, count; /* count: of elements */
} dal_tensor;

/* An open file. Constant: all but open and close are [any]. */
typedef struct dal_safetensors dal_safetensors;

/* [main] key: what errors call the file (the parameter it comes from). host, path and key live until close. */
DAL_PUBLIC dal_status dal_safetensors_open(const dal_host *host, const char *path, const char *key,
                                           dal_safetensors **out, dal_error *err);
/* The same of bytes[n] in memory, which stay there until close; `name` is what messages call them. */
DAL_PUBLIC dal_status dal_safetensors_view(const dal_host *host, const char *name, const char *key, const void *bytes,
                                           int64_t n, dal_safetensors **out, dal_error *err);
/* The same of what a stream gives, as far as the file's header says that it goes; the bytes are kept until close. */
DAL_PUBLIC dal_status dal_safetensors_read(const dal_host *host, const dal_reader *r, const char *name, const char *key,
                                           dal_safetensors **out, dal_error *err);
DAL_PUBLIC void dal_safetensors_close(dal_safetensors *f); /* accepts NULL */

DAL_PUBLIC int64_t dal_safetensors_count(const dal_safetensors *f);
/* Tensor i in the order of names; until close. */
DAL_PUBLIC const dal_tensor *dal_safetensors_tensor(const dal_safetensors *f, int64_t i);
/* The one of this name, or NULL. */
DAL_PUBLIC const dal_tensor *dal_safetensors_find(const dal_safetensors *f, const char *name);
/* What "__metadata__" says of a key, until close; NULL: nothing. */
DAL_PUBLIC const char *dal_safetensors_metadata(const dal_safetensors *f, const char *key);
/* "F32 [768, 768]" into out. */
DAL_PUBLIC const char *dal_tensor_describe(const dal_tensor *t, char out[160]);
/* All elements of t as float into out [count]: F32 as they are, F16 and BF16 exactly, F64 rounded. Other types are
 * DAL_E_UNSUPPORTED. */
DAL_PUBLIC dal_status dal_tensor_to_f32(const dal_tensor *t, float *out, dal_error *err);

/* [any] Write n tensors (name, dtype, ndim, shape and data of each are read; names differ) to path, in this order, and
 * the pairs metadata[2 * n_metadata] of a key and its value, all UTF-8. First under another name in the same directory,
 * then onto the disk, then renamed: on failure whatever was at path is untouched. */
DAL_PUBLIC dal_status dal_safetensors_write(const char *path, const dal_tensor *tensors, int64_t n,
                                            const char *const *metadata, int64_t n_metadata, dal_error *err);
/* [any] The same into a stream. name: what messages call it. */
DAL_PUBLIC dal_status dal_safetensors_save(const dal_writer *w, const char *name, const dal_tensor *tensors, int64_t n,
                                           const char *const *metadata, int64_t n_metadata, dal_error *err);

#ifdef __cplusplus
}
#endif
#endif
