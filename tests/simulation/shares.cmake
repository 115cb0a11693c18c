# A program of its own (no CUnit), as the engine's simulation: seeds in, verdict out.
add_executable(magnum-simulation-shares ${CMAKE_CURRENT_LIST_DIR}/shares.c)
set_target_properties(magnum-simulation-shares PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
target_include_directories(magnum-simulation-shares PRIVATE ${CMAKE_SOURCE_DIR}/core)
target_link_libraries(magnum-simulation-shares PRIVATE magnum_operation)
add_test(NAME simulation/shares COMMAND magnum-simulation-shares 300)
add_test(NAME simulation/shares-planted-bug COMMAND magnum-simulation-shares 300 due-first)
set_tests_properties(simulation/shares simulation/shares-planted-bug PROPERTIES LABELS simulation TIMEOUT 120)
