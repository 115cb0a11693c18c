/* See yaml.h: JSON written as block style YAML that yaml_load reads back as the same document.
 * Text is quoted when a reader could take it for something else, including the YAML 1.1 words
 * (yes, on, ...) that many tools still treat as booleans. */
#include "base/str.h"
#include "config/yaml_internal.h"

#include <string.h>
#include <strings.h>
#include <yaml.h>

static int append(void *data, unsigned char *buffer, size_t size)
{
    struct str *out = data;
    str_append_n(out, buffer, size);
    return !out->oom;
}

static bool looks_like_more_than_text(const char *s)
{
    static const char *const words[] = {"y", "n", "yes", "no", "on", "off", "<<", "="};
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (strcasecmp(s, words[i]) == 0)
            return true;
    /* Old readers take 1:30 for a number in base 60 and 2026-11-22 for a date. */
    return yaml_kind_of(s) != YAML_TEXT || s[strspn(s, "0123456789:-.+_")] == '\0';
}

/* Literal blocks for ordinary lines only; anything unusual is safer between quotes. */
static bool fits_literal(const char *s, size_t len)
{
    if (len < 2 || s[0] == ' ' || s[0] == '\n' || s[0] == '\t' || !strchr(s, '\n'))
        return false;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];
        if ((c < 0x20 && c != '\n') || c >= 0x7F || (c == ' ' && s[i + 1] == '\n'))
            return false;
    }
    return s[len - 1] != ' ' && !(s[len - 1] == '\n' && s[len - 2] == '\n');
}

static yaml_scalar_style_t style_of(const char *s, size_t len)
{
    if (fits_literal(s, len))
        return YAML_LITERAL_SCALAR_STYLE;
    if (strpbrk(s, "\n\r\t"))
        return YAML_DOUBLE_QUOTED_SCALAR_STYLE;
    return looks_like_more_than_text(s) ? YAML_SINGLE_QUOTED_SCALAR_STYLE : YAML_PLAIN_SCALAR_STYLE;
}

static bool emit_scalar(yaml_emitter_t *em, const char *s, size_t len, yaml_scalar_style_t style)
{
    yaml_event_t ev;
    return yaml_scalar_event_initialize(&ev, NULL, NULL, (const yaml_char_t *)s, (int)len, 1, 1,
                                        style) &&
           yaml_emitter_emit(em, &ev);
}

static bool emit(yaml_emitter_t *em, const json_t *j);

static bool emit_mapping(yaml_emitter_t *em, const json_t *j)
{
    yaml_event_t ev;
    if (!yaml_mapping_start_event_initialize(&ev, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE) ||
        !yaml_emitter_emit(em, &ev))
        return false;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)j, key, value)
    {
        size_t len = strlen(key);
        yaml_scalar_style_t style = style_of(key, len);
        if (style == YAML_LITERAL_SCALAR_STYLE)
            style = YAML_DOUBLE_QUOTED_SCALAR_STYLE;
        if (!emit_scalar(em, key, len, style) || !emit(em, value))
            return false;
    }
    return yaml_mapping_end_event_initialize(&ev) && yaml_emitter_emit(em, &ev);
}

static bool emit_sequence(yaml_emitter_t *em, const json_t *j)
{
    yaml_event_t ev;
    if (!yaml_sequence_start_event_initialize(&ev, NULL, NULL, 1, YAML_BLOCK_SEQUENCE_STYLE) ||
        !yaml_emitter_emit(em, &ev))
        return false;
    for (size_t i = 0; i < json_array_size(j); i++)
        if (!emit(em, json_array_get(j, i)))
            return false;
    return yaml_sequence_end_event_initialize(&ev) && yaml_emitter_emit(em, &ev);
}

static bool emit(yaml_emitter_t *em, const json_t *j)
{
    if (json_is_object(j))
        return emit_mapping(em, j);
    if (json_is_array(j))
        return emit_sequence(em, j);
    if (json_is_string(j)) {
        const char *s = json_string_value(j);
        return emit_scalar(em, s, json_string_length(j), style_of(s, json_string_length(j)));
    }
    _cleanup_free_ char *text = json_dumps(j, JSON_ENCODE_ANY);
    return text && emit_scalar(em, text, strlen(text), YAML_PLAIN_SCALAR_STYLE);
}

char *yaml_dump(const json_t *j)
{
    yaml_emitter_t em;
    if (!j || !yaml_emitter_initialize(&em))
        return NULL;
    struct str out = STR_INIT;
    yaml_emitter_set_output(&em, append, &out);
    yaml_emitter_set_unicode(&em, 1);
    yaml_emitter_set_width(&em, -1);
    yaml_event_t ev;
    bool ok = yaml_stream_start_event_initialize(&ev, YAML_UTF8_ENCODING) &&
              yaml_emitter_emit(&em, &ev) &&
              yaml_document_start_event_initialize(&ev, NULL, NULL, NULL, 1) &&
              yaml_emitter_emit(&em, &ev) && emit(&em, j) &&
              yaml_document_end_event_initialize(&ev, 1) && yaml_emitter_emit(&em, &ev) &&
              yaml_stream_end_event_initialize(&ev) && yaml_emitter_emit(&em, &ev) &&
              yaml_emitter_flush(&em);
    yaml_emitter_delete(&em);
    if (!ok) {
        str_free(&out);
        return NULL;
    }
    return str_take(&out);
}
