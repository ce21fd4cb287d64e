/* Myers' bit-parallel edit distance for one instruction set: `search` of cpu.py. Each lane of a vector is a pattern, whose
   column of bits stays in a register while the text passes. */

#ifndef EDITS_CALL
#define EDITS_CALL
/* `EditsCall` of native.py. Texts (rows, width), lengths (rows); of the patterns, whose count is a multiple of 32: masks
   (5, count), last bit and first score (count); distances and ends (rows, count). */
typedef struct {
    const uint8_t *texts;
    const int64_t *lengths;
    const uint32_t *masks, *last;
    const int32_t *first;
    int32_t *distances, *ends;
    int64_t rows, width, count, before;
} edits_call;
#define ABREAST 2 /* vectors, so that one goes on while another waits */
#endif

static void N(edits)(const edits_call *call)
{
    typedef uint32_t bits __attribute__((vector_size(4 * LANES)));
    typedef int32_t numbers __attribute__((vector_size(4 * LANES)));
    const bits one = (bits){0} + 1u;
    for (int64_t row = 0; row < call->rows; row++) {
        const uint8_t *const text = call->texts + row * call->width;
        for (int64_t j = 0; j < call->count; j += ABREAST * LANES) {
            bits up[ABREAST], down[ABREAST], last[ABREAST], equal;
            numbers score[ABREAST], best[ABREAST], place[ABREAST];
            UNROLL for (int k = 0; k < ABREAST; k++) {
                up[k] = (bits){0} + (uint32_t)call->before;
                down[k] = (bits){0};
                place[k] = (numbers){0};
                memcpy(&last[k], call->last + j + k * LANES, sizeof last[k]);
                memcpy(&score[k], call->first + j + k * LANES, sizeof score[k]);
                best[k] = score[k];
            }
            for (int64_t t = 0; t < call->lengths[row]; t++) {
                const uint32_t *const masks = call->masks + text[t] * call->count + j;
                const numbers now = (numbers){0} + (int32_t)(t + 1);
                UNROLL for (int k = 0; k < ABREAST; k++) {
                    memcpy(&equal, masks + k * LANES, sizeof equal);
                    const bits xv = equal | down[k], xh = (((equal & up[k]) + up[k]) ^ up[k]) | equal;
                    bits more = down[k] | ~(xh | up[k]), less = up[k] & xh;
                    score[k] += (numbers)((more >> last[k]) & one) - (numbers)((less >> last[k]) & one);
                    more <<= one;
                    less <<= one;
                    up[k] = less | ~(xv | more);
                    down[k] = more & xv;
                    const numbers lead = score[k] - best[k], better = lead >> 31; /* all bits where it is below 0 */
                    best[k] += lead & better;
                    place[k] += (now - place[k]) & better;
                }
            }
            UNROLL for (int k = 0; k < ABREAST; k++) {
                memcpy(call->distances + row * call->count + j + k * LANES, &best[k], sizeof best[k]);
                memcpy(call->ends + row * call->count + j + k * LANES, &place[k], sizeof place[k]);
            }
        }
    }
}
