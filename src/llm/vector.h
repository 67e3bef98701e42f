/* SPDX-License-Identifier: MIT
 *
 * Embeddings as numbers: fixed point where something is decided, so that every
 * machine decides the same; float32 where they are kept and searched. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define VECTOR_DIMENSION_MAX 4096
#define VECTOR_PPM	     1000000

/* A vector of length 1 as integers of 1/32767; false: it is zero or holds what
 * is no number. */
bool vector_fix(int16_t *out, const float *in, size_t n);
/* Cosine of two such vectors in millionths, -1000000 to 1000000. */
int64_t vector_similarity_ppm(const int16_t *a, const int16_t *b, size_t n);

/* Without any provider: the words of a text, neighbouring words and groups of
 * three characters, each added to or taken from the place that its hash names
 * (signed feature hashing: Weinberger et al., "Feature Hashing for Large Scale
 * Multitask Learning", 2009; the hash is FNV-1a), then damped by a square root
 * and brought to length 1. Integers only: the same everywhere. What it sees is
 * shared wording, not meaning. */
#define VECTOR_HASH_MODEL     "hashed-1"
#define VECTOR_HASH_DIMENSION 512
void vector_hash(const char *text, int16_t *out);

/* Base64 of float32, little endian: how vectors are stored. */
void vector_pack(struct buf *out, const int16_t *v, size_t n);
/* false: it is not the text of n numbers. */
bool vector_unpack(const char *text, float *out, size_t n);
/* The same of bytes that are no vector of ours: at most max numbers; how many,
 * 0 = none. */
size_t vector_read(const char *text, size_t len, float *out, size_t max);
/* Cosine; 0 when one of them is zero. */
double vector_cosine(const float *a, const float *b, size_t n);
