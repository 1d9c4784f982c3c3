#include "daemon/notices.h"

#include "daemon/wire.h"

#include <math.h>
#include <string.h>

static const char *kind_of(const struct record_told *told) {
    switch (told->what) {
    case TOLD_PAUSED: return "paused";
    case TOLD_RESUMED: return "resumed";
    case TOLD_ALERT: return "alert";
    case TOLD_VERDICT: break;
    }
    return told->verdict == VERDICT_GOOD ? "recovered" : "degraded";
}

static void tell_pause(struct publisher *publisher, const char *kind, const char *stream, uint64_t step,
                       bool paused) {
    publisher_event(publisher, kind, stream, json_pack("{s:s, s:I}", "stream", stream, "step", (json_int_t)step),
                    paused ? "stream %s is paused behind step %llu: nothing is learnt from it, and no alarm raised"
                           : "stream %s is learnt from again, behind step %llu",
                    stream, (unsigned long long)step);
}

static json_t *number(double x) {
    return isfinite(x) ? json_real(x) : json_null();
}

static void tell_alert(struct publisher *publisher, const struct config *config, const char *stream,
                       const struct record_told *told) {
    const struct config_model *model = &config->models[told->model];
    const struct config_alert *alert = &model->alerts[told->index];
    const char *target = config->classes[model->class].features[model->targets[alert->target]];
    bool above = !isnan(alert->above);
    double bound = above ? alert->above : alert->below, probability = (double)told->alert.probability;
    json_t *fields = json_pack("{s:s, s:s, s:s, s:b, s:f, s:o, s:f, s:i, s:I, s:I}", "stream", stream, "model",
                               model->name, "target", target, "raised", told->alert.raised, above ? "above" : "below",
                               bound, "probability", number(probability), "threshold", alert->probability, "h",
                               told->alert.h, "step", (json_int_t)told->step, "time", (json_int_t)told->t);
    if (told->alert.raised)
        publisher_event(publisher, kind_of(told), stream, fields,
                        "stream %s: %s %s %g has a probability of %.0f %%, %d steps ahead (model %s)", stream, target,
                        above ? "above" : "below", bound, 100 * probability, told->alert.h, model->name);
    else
        publisher_event(publisher, kind_of(told), stream, fields,
                        "stream %s: %s %s %g is no longer to be expected (model %s)", stream, target,
                        above ? "above" : "below", bound, model->name);
}

static void tell_verdict(struct publisher *publisher, const struct config *config, const char *stream,
                         const struct record_told *told) {
    static const char *const names[] = {"good", "worse_than_ever", "worse_than_last_value"};
    const char *model = config->models[told->model].name;
    json_t *fields =
        json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:I}", "stream", stream, "model", model, "verdict",
                  names[told->verdict], "mae", number(told->mae), "mae_last_value", number(told->mae_last_value),
                  "mae_all", number(told->mae_all), "step", (json_int_t)told->step);
    if (told->verdict == VERDICT_GOOD)
        publisher_event(publisher, kind_of(told), stream, fields,
                        "stream %s: the forecasts of model %s are good again: their mean error is %.4g", stream,
                        model, told->mae);
    else
        publisher_event(
            publisher, "degraded", stream, fields,
            "stream %s: the forecasts of model %s have become worse: their mean error is %.4g, that of the "
            "last value %.4g, and %.4g was theirs over all time",
            stream, model, told->mae, told->mae_last_value, told->mae_all);
}

void notices_publish(struct publisher *publisher, const struct config *config, const struct record_told *told) {
    char stream[WIRE_MAX_NAME + 1];
    if (!publisher_would_tell(publisher, kind_of(told)))
        return;
    memcpy(stream, told->name, told->n);
    stream[told->n] = '\0';
    switch (told->what) {
    case TOLD_PAUSED:
    case TOLD_RESUMED: tell_pause(publisher, kind_of(told), stream, told->step, told->what == TOLD_PAUSED); break;
    case TOLD_ALERT: tell_alert(publisher, config, stream, told); break;
    case TOLD_VERDICT: tell_verdict(publisher, config, stream, told); break;
    }
}

void notices_unreadable(struct publisher *publisher, const struct record_unreadable *record) {
    char stream[WIRE_MAX_NAME + 1];
    memcpy(stream, record->name, record->n);
    stream[record->n] = '\0';
    publisher_event(publisher, "unreadable", stream,
                    json_pack("{s:s, s:s}", "stream", stream, "error", record->err.text),
                    "of stream %s not all can be read, and begins anew: %s", stream, record->err.text);
}
