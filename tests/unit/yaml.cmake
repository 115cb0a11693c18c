magnum_add_test(yaml RING unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/yaml.c LINKS magnum_config)
