
/* Latencies: 1 us steps up to 100 ms, 1 ms steps up to a minute. */

#include <stdio.h>

#include "bench.h"
#include "vmops_banned.h"


#define FINE    100000
#define COARSE  60000


static uint32_t  fine[FINE];
static uint32_t  coarse[COARSE];
static uint64_t  total;
static uint64_t  longest;       /* us */


void
histogram_reset(void)
{
    memset(fine, 0, sizeof(fine));
    memset(coarse, 0, sizeof(coarse));
    total = 0;
    longest = 0;
}


void
histogram_add(uint64_t ns)
{
    uint64_t  us = ns / 1000;

    total++;

    if (us > longest) {
        longest = us;
    }

    if (us < FINE) {
        fine[us]++;
    } else {
        coarse[us / 1000 < COARSE ? us / 1000 : COARSE - 1]++;
    }
}


/* in ms; of a thousand */

static double
histogram_at(unsigned permille)
{
    size_t    i;
    uint64_t  seen = 0, rank;

    rank = (total * permille + 999) / 1000;

    for (i = 0; i < FINE; i++) {
        seen += fine[i];
        if (seen >= rank) {
            return (double) i / 1000;
        }
    }

    for (i = 0; i < COARSE; i++) {
        seen += coarse[i];
        if (seen >= rank) {
            return (double) i;
        }
    }

    return (double) longest / 1000;
}


void
histogram_print(void)
{
    if (total == 0) {
        return;
    }

    printf(",\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"p999_ms\":%.3f,\"max_ms\":%.3f",
           histogram_at(500), histogram_at(990), histogram_at(999),
           (double) longest / 1000);
}
