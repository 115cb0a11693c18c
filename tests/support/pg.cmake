# Link test_pg for a private PostgreSQL (support/pg.h).
add_library(test_pg STATIC ${CMAKE_CURRENT_LIST_DIR}/pg.c ${CMAKE_CURRENT_LIST_DIR}/pg_keeper.c)
target_include_directories(test_pg PUBLIC ${CMAKE_SOURCE_DIR}/tests ${CMAKE_SOURCE_DIR}/core)
target_link_libraries(test_pg PUBLIC magnum_flags magnum_base PkgConfig::pq)
