magnum_add_test(http_server RING component SOURCES ${CMAKE_CURRENT_LIST_DIR}/http_server.c LINKS magnum_http)
magnum_add_test(http_limits RING component SOURCES ${CMAKE_CURRENT_LIST_DIR}/http_limits.c LINKS magnum_http)
