magnum_add_test(operations_doc RING unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/operations_doc.c
  LINKS magnum_model magnum_cli)
target_compile_definitions(test_unit_operations_doc PRIVATE MAGNUM_DOCS="${CMAKE_SOURCE_DIR}/docs")
