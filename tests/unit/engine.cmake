magnum_add_test(engine RING unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/engine.c LINKS magnum_operation)
magnum_add_test(engine_trouble RING unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/engine_trouble.c
  LINKS magnum_operation)
