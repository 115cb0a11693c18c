magnum_add_test(status_tool RING component SOURCES ${CMAKE_CURRENT_LIST_DIR}/status_tool.c
                LINKS magnum_base test_pg)
add_dependencies(test_component_status_tool magnum-status magnum-keygen magnum-db-manage)
