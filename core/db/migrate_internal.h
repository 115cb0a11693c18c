/* The migrations as the build embedded them (migrations/embed.cmake). */
#ifndef MAGNUM_DB_MIGRATE_INTERNAL_H
#define MAGNUM_DB_MIGRATE_INTERNAL_H

struct migration {
    int number;
    const char *name, *sql;
};
extern const struct migration migrations[];
extern const int migration_count;

#endif
