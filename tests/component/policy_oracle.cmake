# The distribution's interpreter, which sees the distribution's oslo.policy.
add_executable(policy_oracle_driver ${CMAKE_CURRENT_LIST_DIR}/policy_oracle.c)
set_target_properties(policy_oracle_driver PROPERTIES
  RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
target_link_libraries(policy_oracle_driver PRIVATE magnum_auth)
find_program(MAGNUM_SYSTEM_PYTHON NAMES python3 PATHS /usr/bin NO_DEFAULT_PATH)
if(MAGNUM_SYSTEM_PYTHON)
  add_test(NAME component/policy_oracle COMMAND ${MAGNUM_SYSTEM_PYTHON} -B
    ${CMAKE_CURRENT_LIST_DIR}/policy_oracle.py $<TARGET_FILE:policy_oracle_driver>)
  set_tests_properties(component/policy_oracle PROPERTIES LABELS component TIMEOUT 300
    SKIP_RETURN_CODE 77)
endif()
