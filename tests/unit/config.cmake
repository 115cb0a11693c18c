magnum_add_test(config RING unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/config.c LINKS magnum_config)
