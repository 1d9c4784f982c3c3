/* Learning-rate schedules: the rate of an optimiser's step as a pure function of how much of the job is done. */
#ifndef ENGINE_SCHEDULE_H
#define ENGINE_SCHEDULE_H

enum schedule {
    SCHEDULE_LINEAR,      /* falls evenly */
    SCHEDULE_CONSTANT,    /* stays */
    SCHEDULE_COSINE,      /* falls by half a cosine (Loshchilov and Hutter, 2017, without restarts) */
    SCHEDULE_EXPONENTIAL, /* falls by the same factor with each step */
    SCHEDULE_STEP,        /* falls at one half and at three quarters of the job, each time by the same factor */
};

struct schedule_spec {
    enum schedule kind;
    double last;    /* the share of the rate that it falls to, 0 < last <= 1; of no use to a constant one */
    double warm_up; /* the share of the job, below 1, in which the rate rises evenly to where it begins; 0: none */
};

/* The share of the learning rate when `done` of the job is done, 0 to 1 (more: as 1). In (0, 1]. */
double schedule_share(const struct schedule_spec *spec, double done);

#endif
